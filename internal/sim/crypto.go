package sim

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// rsaKey is the app's public key. The publisher encrypts with the private key
// and devices open with the public one (device-clients.md §8.1).
type rsaKey struct {
	n, e *big.Int
	id   string // first 20 characters of the base64 body (§8.6)
	size int    // bytes
}

func parseKey(text string) (*rsaKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "RSA PUBLIC KEY" {
		return nil, errors.New("not a PEM block of type RSA PUBLIC KEY")
	}
	pub, err := x509.ParsePKCS1PublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	body := base64.StdEncoding.EncodeToString(block.Bytes)
	return newKey(pub, body[:min(20, len(body))]), nil
}

func newKey(pub *rsa.PublicKey, id string) *rsaKey {
	return &rsaKey{n: pub.N, e: big.NewInt(int64(pub.E)), id: id, size: pub.Size()}
}

// open is c^e mod n without its type 1 padding: 00 01 FF…FF 00 data. The
// arithmetic that iOS did by hand before 8.51.16 was lax: any padding bytes but
// zero, and a block without padding was used as it was (§8.1).
func (k *rsaKey) open(c []byte, strict bool) ([]byte, error) {
	x := new(big.Int).SetBytes(c)
	if x.Cmp(k.n) >= 0 {
		return nil, errors.New("RSA input is larger than the modulus")
	}
	m := x.Exp(x, k.e, k.n).FillBytes(make([]byte, k.size))
	if m[0] != 0 || m[1] != 1 {
		if strict {
			return nil, errors.New("RSA block has no type 1 padding")
		}
		return m, nil
	}
	end := bytes.IndexByte(m[2:], 0)
	const leastPadding = 8
	if end < 0 || strict && (end < leastPadding || len(bytes.Trim(m[2:2+end], "\xff")) > 0 || 2+end+1 == len(m)) {
		return nil, errors.New("RSA block has wrong padding")
	}
	return m[2+end+1:], nil
}

// validSession is the test of form: one colon with something on both sides
// (§8.2).
func validSession(s string) bool {
	iv, key, ok := strings.Cut(s, ":")
	return ok && iv != "" && key != "" && !strings.Contains(key, ":")
}

// decrypt opens a file: AES-128-CBC with PKCS#7 padding (§8.3).
func (d *Device) decrypt(session string, data []byte) ([]byte, error) {
	ivText, keyText, _ := strings.Cut(session, ":")
	iv, err := base64.StdEncoding.DecodeString(ivText)
	if err != nil {
		return nil, fmt.Errorf("session key: IV: %w", err)
	}
	sealed, err := base64.StdEncoding.DecodeString(keyText)
	if err != nil {
		return nil, fmt.Errorf("session key: %w", err)
	}
	key, err := d.key.open(sealed, d.can.strictRSA)
	if err != nil {
		return nil, fmt.Errorf("session key: %w", err)
	}
	if d.can.strictAES && (len(iv) != aes.BlockSize || len(key) != 16) {
		return nil, errors.New("session key: IV and key must have 16 bytes")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("session key: %w", err)
	}
	if len(iv) != aes.BlockSize {
		return nil, errors.New("session key: IV must have 16 bytes")
	}
	if len(data) == 0 || len(data)%aes.BlockSize != 0 {
		return nil, errors.New("decrypt: not a whole number of blocks")
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, data)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > aes.BlockSize || len(bytes.Trim(plain[len(plain)-pad:], string(rune(pad)))) > 0 {
		return nil, errors.New("decrypt: wrong padding")
	}
	if pad == len(plain) {
		return nil, errors.New("empty decrypted data")
	}
	return plain[:len(plain)-pad], nil
}

// openChecksum decrypts a checksum or file hash (§8.4). From x.30 / 8.2 on the
// input may be hex (V3) and the result is hex; before, input and result are
// base64, which fits because the publisher read the hex digits as base64 (V2).
func (d *Device) openChecksum(s string) (string, error) {
	isHex := s != "" && strings.Trim(s, "0123456789abcdefABCDEF") == ""
	var sealed []byte
	var err error
	if d.can.hexChecksum && isHex {
		sealed, err = hex.DecodeString(s)
	} else {
		sealed, err = base64.StdEncoding.DecodeString(s)
	}
	switch {
	case err != nil:
		return "", err
	case len(sealed) == 0:
		return "", errors.New("decoded checksum is empty")
	case d.can.exactCipher && len(sealed) != 256:
		return "", fmt.Errorf("%d bytes, not 256", len(sealed))
	}
	data, err := d.key.open(sealed, d.can.strictRSA)
	if err != nil {
		return "", err
	}
	if d.can.hexChecksum {
		return hex.EncodeToString(data), nil
	}
	return base64.StdEncoding.EncodeToString(data), nil
}
