package blobtest

import (
	"bytes"
	"io"
	"testing"

	"github.com/capstan-ota/capstan/internal/blob"
)

// Bench measures what a server does most with a store.
func Bench(b *testing.B, open func(b *testing.B) blob.Store) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"16kB", 16 << 10}, {"4MB", 4 << 20}} {
		d, content := Content(1, size.bytes)
		b.Run("put "+size.name, func(b *testing.B) {
			s := open(b)
			b.SetBytes(int64(size.bytes))
			for b.Loop() {
				if err := s.Put(b.Context(), d, int64(size.bytes), bytes.NewReader(content)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("open "+size.name, func(b *testing.B) {
			s := open(b)
			Put(b, s, content)
			b.SetBytes(int64(size.bytes))
			buf := make([]byte, 64<<10)
			for b.Loop() {
				r, err := s.Open(b.Context(), d, 0, -1)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf); err != nil {
					b.Fatal(err)
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("stat", func(b *testing.B) {
		s := open(b)
		d := Put(b, s, []byte("x"))
		for b.Loop() {
			if _, err := s.Stat(b.Context(), d); err != nil {
				b.Fatal(err)
			}
		}
	})
}
