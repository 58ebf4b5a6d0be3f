package cli

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/capstan-ota/capstan"
)

// loginFile remembers servers and the token of each, so that a token is never
// sent to a server that it was not stored for:
//
//	$XDG_CONFIG_HOME/capstan/login.json, else ~/.config/capstan/login.json, mode 0600
//	{"current": "https://updates.example.com",
//	 "servers": {"https://updates.example.com": {"token": "capstan_…"}}}
type loginFile struct {
	Current string               `json:"current"`
	Servers map[string]loginData `json:"servers"`
}

type loginData struct {
	Token string `json:"token"`
}

// loginPath returns where the login file is, "" when there is no home.
func (w World) loginPath() string {
	base := w.env("XDG_CONFIG_HOME")
	if base == "" {
		home := w.home()
		if home == "" {
			return ""
		}
		base = filepath.Join(home, ".config")
	}
	return filepath.Join(base, "capstan", "login.json")
}

// readLogin returns an empty file when there is none.
func (s *session) readLogin() (loginFile, error) {
	empty := loginFile{Servers: map[string]loginData{}}
	path := s.loginPath()
	if path == "" {
		return empty, nil
	}
	b, err := readSecretFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return empty, err
	}
	l := empty
	if err := json.Unmarshal(b, &l); err != nil {
		return empty, capstan.Errorf(capstan.CodeInvalid, "the login file %s cannot be read: %w", path, err).On("login").
			Hint("rm "+path, "capstan login")
	}
	return l, nil
}

// writeLogin replaces the login file in one step.
func (s *session) writeLogin(l loginFile) error {
	path := s.loginPath()
	if path == "" {
		return capstan.Errorf(capstan.CodeInvalid, "there is no home directory to keep a login in").On("login").
			Hint("set CAPSTAN_TOKEN and CAPSTAN_URL instead")
	}
	b, err := json.Marshal(l, jsontext.Multiline(true), json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("encode the login file: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the folder of the login file: %w", err)
	}
	return writeFile(path, 0o600, func(f *os.File) error {
		_, err := f.Write(append(b, '\n'))
		return err
	})
}

// readSecretFile refuses a file that everybody on the machine can read.
func readSecretFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o007 != 0 {
		return nil, capstan.Errorf(capstan.CodeUnauthorized, "%s can be read by everybody on this machine (mode %04o), so its token is not used", path, info.Mode().Perm()).
			On("token").Hint("chmod 600 " + path)
	}
	const most = 64 << 10
	if info.Size() > most {
		return nil, capstan.Errorf(capstan.CodeInvalid, "%s is larger than any file with a token", path).On("token")
	}
	return os.ReadFile(path)
}

// writeFile makes or replaces path with what fill writes; after an error path is
// as it was.
func writeFile(path string, mode os.FileMode, fill func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	err = errors.Join(fill(f), f.Chmod(mode), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
