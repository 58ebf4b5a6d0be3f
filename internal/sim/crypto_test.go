package sim

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"github.com/capstan-ota/capstan"
)

// publisher is the side that the devices do not have: it encrypts with the
// private key of device-clients.md §8.9.
type publisher struct {
	t    *testing.T
	key  *rsa.PrivateKey
	aes  []byte
	iv   []byte
	open string // public key
}

func newPublisher(t *testing.T) publisher {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	block, _ := pem.Decode(read("test-only-private.pem"))
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return publisher{
		t: t, key: key, open: string(read("test-only-public.pem")),
		aes: []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
		iv:  []byte{16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31},
	}
}

func (p publisher) sign(data []byte) []byte {
	sealed, err := rsa.SignPKCS1v15(nil, p.key, crypto.Hash(0), data)
	if err != nil {
		p.t.Fatal(err)
	}
	return sealed
}

func (p publisher) session() string {
	return base64.StdEncoding.EncodeToString(p.iv) + ":" + base64.StdEncoding.EncodeToString(p.sign(p.aes))
}

func (p publisher) encrypt(data []byte) []byte {
	pad := aes.BlockSize - len(data)%aes.BlockSize
	data = append(bytes.Clone(data), bytes.Repeat([]byte{byte(pad)}, pad)...)
	block, err := aes.NewCipher(p.aes)
	if err != nil {
		p.t.Fatal(err)
	}
	cipher.NewCBCEncrypter(block, p.iv).CryptBlocks(data, data)
	return data
}

func (p publisher) v3(data []byte) string {
	sum, _ := hex.DecodeString(string(capstan.DigestOf(data)))
	return hex.EncodeToString(p.sign(sum))
}

func (p publisher) v2(data []byte) string {
	sum, _ := base64.StdEncoding.DecodeString(string(capstan.DigestOf(data)))
	return base64.StdEncoding.EncodeToString(p.sign(sum))
}

func (p publisher) device(s *testServer, profile string) *Device {
	return newDevice(p.t, s, profile, func(o *Options) { o.PublicKey = p.open })
}

// manifest serves files, with hashes and content sealed or not.
func (p publisher) manifest(s *testServer, files map[string]string, hashes, content bool) []map[string]string {
	list := s.manifest("1.5.0", files)
	for _, e := range list {
		data := []byte(files[e["file_name"]])
		if hashes {
			e["file_hash"] = p.v3(data)
		}
		if content {
			s.serveBytes(strings.TrimPrefix(e["download_url"], s.URL), p.encrypt(data))
		}
	}
	return list
}

// TestEnvelopeVector is the worked example of device-clients.md §8.9.
func TestEnvelopeVector(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/envelope.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Plain, Cipher, SHA256 string
		Session               string `json:"session_key"`
		V3                    string `json:"checksum_v3"`
		V2                    string `json:"checksum_v2"`
		KeyID                 string `json:"key_id"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}

	p := newPublisher(t)
	s := newServer(t)
	if p.session() != v.Session || p.v3([]byte(v.Plain)) != v.V3 || p.v2([]byte(v.Plain)) != v.V2 || hex.EncodeToString(p.encrypt([]byte(v.Plain))) != v.Cipher {
		t.Error("the publisher of this test does not make the vector")
	}
	sealed, _ := hex.DecodeString(v.Cipher)
	for _, profile := range []string{"android@8.51.23", "ios@8.51.23", "ios@8.51.14", "android@7.51.21"} {
		d := p.device(s, profile)
		if d.key.id != v.KeyID {
			t.Errorf("%s: key id %s", profile, d.key.id)
		}
		if got, err := d.decrypt(v.Session, sealed); err != nil || string(got) != v.Plain {
			t.Errorf("%s: decrypt = %q, %v", profile, got, err)
		}
		if got, err := d.openChecksum(v.V3); err != nil || got != v.SHA256 {
			t.Errorf("%s: V3 = %q, %v", profile, got, err)
		}
		if got, err := d.openChecksum(v.V2); err == nil && got == v.SHA256 {
			t.Errorf("%s: reads a V2 checksum: %q", profile, got)
		}
	}
	old := p.device(s, "android@7.29.0")
	if got, err := old.openChecksum(v.V2); err != nil || got != v.SHA256 {
		t.Errorf("7.29.0: V2 = %q, %v", got, err)
	}
	if got, err := old.openChecksum(v.V3); err == nil && got == v.SHA256 {
		t.Errorf("7.29.0: reads a V3 checksum")
	}
}

func TestRSAPadding(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	d := p.device(newServer(t), "ios@8.51.23")
	if got, err := d.key.open(p.sign([]byte("data")), true); err != nil || string(got) != "data" {
		t.Errorf("open = %q, %v", got, err)
	}
	if _, err := d.key.open(p.sign(nil), true); err == nil {
		t.Error("an empty rest passed")
	}
	noise := bytes.Repeat([]byte{7}, 256)
	if _, err := d.key.open(noise, true); err == nil {
		t.Error("a block without padding passed the strict reader")
	}
	if got, err := d.key.open(noise, false); err != nil || len(got) == 0 {
		t.Errorf("older iOS uses such a block as it is: %v", err)
	}
	if _, err := d.key.open(bytes.Repeat([]byte{0xff}, 256), true); err == nil {
		t.Error("a number above the modulus passed")
	}
	if _, err := d.openChecksum(strings.Repeat("ab", 255)); err == nil {
		t.Error("255 bytes passed")
	}
}

func TestSessionKeyForm(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{"a:b": true, "": false, ":": false, "a:": false, ":b": false, "sign-only": false, "a:b:c": false} {
		if got := validSession(s); got != want {
			t.Errorf("%q is valid: %v, want %v", s, got, want)
		}
	}
}

// TestKeyCombinations holds both tables of device-clients.md §8.5. "closed" is
// 8.51.23, "open" everything below.
func TestKeyCombinations(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	files := map[string]string{"index.html": "<h1>one</h1>"}
	plain := webZip(t, files)
	sha := string(capstan.DigestOf(plain))
	sealed, v3 := p.encrypt(plain), p.v3(plain)
	type zipCase struct{ data, checksum, session string }
	const ok, no = Staged, Failed
	tests := []struct {
		name                               string
		key                                bool
		zip                                zipCase
		aClosed, iClosed, aOpen, iOpen     Outcome
		aStat, iStat                       string // of the closed side
		closedGETs                         int
		delta, sealedHashes, sealedContent bool
	}{
		{name: "no key, plain zip", zip: zipCase{string(plain), sha, ""}, aClosed: ok, iClosed: ok, aOpen: ok, iOpen: ok, closedGETs: 1},
		{name: "no key, zip without checksum", zip: zipCase{string(plain), "", ""}, aClosed: no, iClosed: no, aOpen: ok, iOpen: ok,
			aStat: "checksum_required 1.4.0", iStat: "checksum_required 1.5.0"},
		{name: "no key, plain manifest", delta: true, aClosed: ok, iClosed: ok, aOpen: ok, iOpen: ok, closedGETs: 1},
		{name: "no key, encrypted zip", zip: zipCase{string(sealed), v3, p.session()}, aClosed: no, iClosed: no, aOpen: no, iOpen: no,
			aStat: "checksum_fail 1.4.0", closedGETs: 1},
		{name: "key, plain zip", key: true, zip: zipCase{string(plain), sha, ""}, aClosed: no, iClosed: no, aOpen: ok, iOpen: no,
			aStat: "session_key_required 1.4.0", iStat: "session_key_required 1.5.0"},
		{name: "key, plain zip, sign only", key: true, zip: zipCase{string(plain), v3, "sign-only"}, aClosed: no, iClosed: no, aOpen: ok, iOpen: ok,
			aStat: "session_key_required 1.4.0", iStat: "session_key_required 1.5.0"},
		{name: "key, plain manifest", key: true, delta: true, aClosed: no, iClosed: no, aOpen: ok, iOpen: no,
			aStat: "session_key_required 1.4.0", iStat: "session_key_required 1.5.0"},
		{name: "key, encrypted zip", key: true, zip: zipCase{string(sealed), v3, p.session()}, aClosed: ok, iClosed: ok, aOpen: ok, iOpen: ok, closedGETs: 1},
		{name: "key, encrypted zip without checksum", key: true, zip: zipCase{string(sealed), "", p.session()}, aClosed: no, iClosed: no, aOpen: no, iOpen: no,
			aStat: "checksum_required 1.4.0", iStat: "checksum_required 1.5.0"},
		{name: "key, encrypted zip, plain checksum", key: true, zip: zipCase{string(sealed), sha, p.session()}, aClosed: no, iClosed: no, aOpen: no, iOpen: no, closedGETs: 1},
		{name: "key, session and V3 but plain data", key: true, zip: zipCase{string(plain), v3, p.session()}, aClosed: no, iClosed: no, aOpen: no, iOpen: no, closedGETs: 1},
		{name: "key, sealed manifest, V3 on top", key: true, delta: true, sealedHashes: true, sealedContent: true, zip: zipCase{"", v3, p.session()},
			aClosed: ok, iClosed: ok, aOpen: ok, iOpen: ok, closedGETs: 1},
		{name: "key, sealed manifest, nothing on top", key: true, delta: true, sealedHashes: true, sealedContent: true, zip: zipCase{"", "", p.session()},
			aClosed: ok, iClosed: ok, aOpen: ok, iOpen: no, closedGETs: 1},
		{name: "key, session but plain hash", key: true, delta: true, sealedContent: true, zip: zipCase{"", v3, p.session()},
			aClosed: no, iClosed: no, aOpen: no, iOpen: no},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			run := func(profile string, want Outcome, stat string, gets int) {
				s := newServer(t)
				s.serveBytes("/zip", []byte(tt.zip.data))
				offer := map[string]any{"version": "1.5.0", "url": s.URL + "/zip", "checksum": tt.zip.checksum, "session_key": tt.zip.session}
				if tt.delta {
					offer["manifest"] = p.manifest(s, files, tt.sealedHashes, tt.sealedContent)
				}
				s.offer(offer)
				d := newDevice(t, s, profile, func(o *Options) {
					if tt.key {
						o.PublicKey = p.open
					}
				})
				r := launch(t, d)
				flush(t, d)
				if r.Outcome != want {
					t.Errorf("%s: %s (%s), want %s", profile, r.Outcome, r.Detail, want)
				}
				if stat != "" && !contains(s.batched(), stat) {
					t.Errorf("%s: statistics %v, want %s", profile, s.batched(), stat)
				}
				if gets >= 0 && len(s.gets()) != gets {
					t.Errorf("%s: requests %v, want %d", profile, s.gets(), gets)
				}
				// Android sends one statistic and nothing else when it refuses.
				if stat != "" && gets == 0 && strings.HasPrefix(profile, "android") && containsPrefix(s.batched(), "download_fail") {
					t.Errorf("%s: statistics %v", profile, s.batched())
				}
				if stat != "" && gets == 0 && strings.HasPrefix(profile, "ios") && !contains(s.batched(), "download_fail 1.4.0") {
					t.Errorf("%s: statistics %v", profile, s.batched())
				}
			}
			run("android@8.51.23", tt.aClosed, tt.aStat, tt.closedGETs)
			run("ios@8.51.23", tt.iClosed, tt.iStat, tt.closedGETs)
			for _, plugin := range []string{"8.51.22", "7.51.21", "6.51.16"} {
				run("android@"+plugin, tt.aOpen, "", -1)
				run("ios@"+plugin, tt.iOpen, "", -1)
			}
		})
	}
}

func TestNoSessionKeyForPluginsWithABuiltInKey(t *testing.T) {
	t.Parallel()
	data := webZip(t, pageOne)
	for profile, want := range map[string]Outcome{"android@10.0.0": Failed, "ios@5.9.5": Failed, "android@6.1.18": Staged} {
		s := newServer(t)
		s.serveBytes("/zip", data)
		s.offer(map[string]any{"version": "1.5.0", "url": s.URL + "/zip", "checksum": "", "session_key": "a:b"})
		if r := launch(t, newDevice(t, s, profile)); r.Outcome != want {
			t.Errorf("%s: %s (%s), want %s", profile, r.Outcome, r.Detail, want)
		}
	}
}

func TestEncryptedBrotliIsDecryptedFirst(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	s := newServer(t)
	content := strings.Repeat("compress first, encrypt second ", 20)
	s.serveBytes("/f", p.encrypt(squeeze([]byte(content))))
	s.offer(map[string]any{
		"version": "1.5.0", "url": "https://404.capgo.app/no.zip", "session_key": p.session(), "checksum": p.v3(nil),
		"manifest": []map[string]string{{"file_name": "index.html.br", "file_hash": p.v3([]byte(content)), "download_url": s.URL + "/f"}},
	})
	d := p.device(s, "ios@8.51.23")
	if r := runUpdate(t, d); r.Outcome != Updated {
		t.Fatalf("update = %+v", r)
	}
	hasBundle(t, d, map[string]string{"index.html": content})
}

func TestOddCiphertexts(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	s := newServer(t)
	// The same number with one more byte in front: 257 bytes.
	longer := "00" + p.v3([]byte("x"))
	for profile, ok := range map[string]bool{"android@8.51.23": false, "ios@5.50.1": false, "android@8.41.2": true} {
		if _, err := p.device(s, profile).openChecksum(longer); (err == nil) != ok {
			t.Errorf("%s: 257 bytes give %v", profile, err)
		}
	}
	nothing := p.encrypt(nil)
	if _, err := p.device(s, "android@8.51.23").decrypt(p.session(), nothing); err == nil {
		t.Error("an encrypted empty file passed")
	}
	p.aes = append(p.aes, 1, 2, 3, 4, 5, 6, 7, 8) // AES-192
	sealed := p.encrypt([]byte("data"))
	for profile, ok := range map[string]bool{"android@8.51.22": false, "ios@7.51.21": false, "android@8.51.21": true} {
		if _, err := p.device(s, profile).decrypt(p.session(), sealed); (err == nil) != ok {
			t.Errorf("%s: a key of 24 bytes gives %v", profile, err)
		}
	}
}
