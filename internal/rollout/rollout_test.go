package rollout

import (
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/capstan-ota/capstan"
	"github.com/capstan-ota/capstan/internal/golden"
)

const vectorFile = "../../test/vectors/bucket/bucket.json"

// vector is one placed device.
type vector struct {
	Salt     string           `json:"salt"`
	Device   capstan.DeviceID `json:"device"`
	Bucket   int              `json:"bucket"`    // SHA-256(salt ‖ device) bytes 0–7, big-endian, mod 10 000
	SpreadMS int64            `json:"spread_ms"` // bytes 8–15 as a fraction of 2^64, of 1 800 000 ms, rounded down
}

const window = 30 * time.Minute

func vectors() []vector {
	var out []vector
	for _, salt := range []string{"", "salt", "0123456789abcdef0123456789abcdef"} {
		for _, text := range []string{
			"00000000-0000-0000-0000-000000000000", "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
			"ffffffff-ffff-ffff-ffff-ffffffffffff", "9b2c6d1e-0f3a-4c58-b7d9-5e8a1c2d3f40",
		} {
			id, _ := capstan.ParseDeviceID(text)
			out = append(out, vector{salt, id, Bucket(salt, id), Spread(salt, id, window).Milliseconds()})
		}
	}
	return out
}

func TestBucketVectors(t *testing.T) {
	t.Parallel()
	want, err := json.MarshalIndent(vectors(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if golden.Updating() {
		if err := os.WriteFile(vectorFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(vectorFile)
	if err != nil || string(got) != string(want) {
		t.Errorf("the vectors changed (%v): every rollout that runs would reshuffle its devices", err)
	}
}

// The vectors are what the words of the format say, computed another way.
func TestVectorsFollowTheFormat(t *testing.T) {
	t.Parallel()
	whole := new(big.Int).Lsh(big.NewInt(1), 64)
	for _, v := range vectors() {
		digest := string(capstan.DigestOf([]byte(v.Salt + strings.ToLower(v.Device.String()))))
		share, _ := new(big.Int).SetString(digest[:16], 16)
		spread, _ := new(big.Int).SetString(digest[16:32], 16)
		bucket := new(big.Int).Mod(share, big.NewInt(10_000)).Int64()
		ms := new(big.Int).Div(spread.Mul(spread, big.NewInt(window.Milliseconds())), whole).Int64()
		if int64(v.Bucket) != bucket || v.SpreadMS != ms {
			t.Errorf("salt %q, device %s: bucket %d, spread %d ms; want %d, %d", v.Salt, v.Device, v.Bucket, v.SpreadMS, bucket, ms)
		}
	}
}

// A device's place is that of its id, however the device writes it.
func TestPlaceDoesNotDependOnCase(t *testing.T) {
	t.Parallel()
	lower, _ := capstan.ParseDeviceID("9b2c6d1e-0f3a-4c58-b7d9-5e8a1c2d3f40")
	upper, _ := capstan.ParseDeviceID("9B2C6D1E-0F3A-4C58-B7D9-5E8A1C2D3F40")
	if Bucket("salt", lower) != Bucket("salt", upper) {
		t.Error("upper and lower case stand in different places")
	}
}

func anyDevice(t *rapid.T) (id capstan.DeviceID) {
	copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "device"))
	return id
}

func TestShareIsMonotonic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id, salt := anyDevice(t), rapid.String().Draw(t, "salt")
		low := rapid.IntRange(0, capstan.ShareAll).Draw(t, "low")
		high := rapid.IntRange(low, capstan.ShareAll).Draw(t, "high")
		if In(salt, id, low) && !In(salt, id, high) {
			t.Fatalf("inside %d but outside %d", low, high)
		}
		if In(salt, id, 0) || !In(salt, id, capstan.ShareAll) {
			t.Fatal("0 must reach nobody and 10 000 everybody")
		}
		if s := Spread(salt, id, window); s < 0 || s >= window {
			t.Fatalf("spread %v is outside the window", s)
		}
	})
}

func id(n int) capstan.DeviceID {
	d := capstan.DigestOf([]byte(fmt.Sprint(n)))
	var id capstan.DeviceID
	copy(id[:], d)
	return id
}

// With 20 000 devices a share of one half has a standard deviation of 71.
func TestShareReachesItsShare(t *testing.T) {
	t.Parallel()
	const devices = 20_000
	for _, share := range []int{100, 1000, 5000, 9900} {
		inside := 0
		for n := range devices {
			if In("salt", id(n), share) {
				inside++
			}
		}
		want := devices * share / capstan.ShareAll
		if diff := inside - want; diff < -280 || diff > 280 {
			t.Errorf("a share of %d reaches %d of %d devices, want about %d", share, inside, devices, want)
		}
	}
}

// Devices are spread evenly over a window: a tenth of it holds a tenth of them.
func TestSpreadIsEven(t *testing.T) {
	t.Parallel()
	const devices = 20_000
	var tenths [10]int
	for n := range devices {
		tenths[Spread("salt", id(n), window)*10/window]++
	}
	for i, n := range tenths {
		if n < 1830 || n > 2170 { // four standard deviations
			t.Errorf("tenth %d of the window holds %d of %d devices, want about 2000", i, n, devices)
		}
	}
	if Spread("salt", id(1), 0) != 0 || Spread("salt", id(1), -time.Second) != 0 {
		t.Error("without a window there is nothing to wait for")
	}
}

// Who is inside one release's first percent is not so in the next one's.
func TestSaltsAreIndependent(t *testing.T) {
	t.Parallel()
	const devices = 20_000
	both := 0
	for n := range devices {
		if In("one", id(n), 1000) && In("two", id(n), 1000) {
			both++
		}
	}
	if both < 145 || both > 255 {
		t.Errorf("%d of %d devices are inside 10 %% of both salts, want about 200", both, devices)
	}
}

func TestInDoesNotAllocate(t *testing.T) {
	d := id(1)
	if n := testing.AllocsPerRun(100, func() { In("0123456789abcdef0123456789abcdef", d, 5000) }); n != 0 {
		t.Errorf("In allocates %v times", n)
	}
}
