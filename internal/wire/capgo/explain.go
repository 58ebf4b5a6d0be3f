package capgo

import (
	"time"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/decide"
)

// Asked is what somebody wants explained: the question of a device. Its Query
// has no time yet: who decides sets it.
type Asked struct{ question }

// AskedByBody reads a body as a plugin sends it to updateUrl. What names app
// and device may be missing, since a query for a device never seen has none.
// The error has code invalid.
func AskedByBody(raw []byte, app string) (Asked, error) {
	var a Asked
	var f fields
	found, bad := decode(raw, &f, &f, nil)
	if bad != nil {
		return a, asInvalid(bad)
	}
	if f.AppID == "" {
		f.AppID = app
	}
	if f.DeviceID == "" {
		f.DeviceID = capstan.DeviceID{}.String()
	}
	if bad := a.normalise(&f, checkRules, found, false, time.Time{}); bad != nil {
		return a, asInvalid(bad)
	}
	return a, nil
}

func asInvalid(bad *fault) error {
	err := capstan.Errorf(capstan.CodeInvalid, "%s (%s)", bad.message, bad.code).On("query")
	if bad.info != "" {
		err.Details = []string{bad.info}
	}
	return err
}

// AskedByDevice is the question that a device asked last. The error has code
// invalid, for a row that no check has filled.
func AskedByDevice(d capstan.Device) (Asked, error) {
	f := fields{
		Platform: string(d.Platform), DeviceID: d.ID.String(), AppID: d.App, VersionBuild: d.NativeVersion, VersionName: d.Running,
		PluginVersion: d.PluginVersion, IsEmulator: &d.Emulator, IsProd: &d.Prod, DefaultChannel: d.Channel, KeyID: d.KeyID,
	}
	var a Asked
	if bad := a.normalise(&f, checkRules, nil, false, time.Time{}); bad != nil {
		return a, asInvalid(bad)
	}
	return a, nil
}

// Answer is the body that a device is sent for a decision on a.
func Answer(d decide.Decision, a Asked, publicURL string) []byte {
	if d.Outcome == capstan.Offer {
		return appendOffer(nil, d.Bundle, d.Form, publicURL)
	}
	return appendAnswer(nil, &d, &a.Query, a.sentRunning)
}
