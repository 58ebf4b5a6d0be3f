package pack

import (
	"fmt"
	"io"

	"github.com/capstan-ota/capstan/internal/native"
)

const (
	// sampleHead covers every magic number, a tar's included.
	sampleHead = 1 << 10
	// sampleTail covers the end record of a zip with the longest comment.
	sampleTail = 64<<10 + 1<<10
)

// sample keeps the two ends of a stream that passes through it. Nearly every
// file is judged by them, so files inside archives need not be in memory; the
// few that must be read whole (archives again) are read a second time.
type sample struct {
	head, tail []byte
	size       int64
}

func (s *sample) reset() { s.head, s.tail, s.size = s.head[:0], s.tail[:0], 0 }

func (s *sample) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	if room := sampleHead - len(s.head); room > 0 {
		s.head = append(s.head, p[:min(room, len(p))]...)
	}
	if len(p) >= sampleTail {
		s.tail = append(s.tail[:0], p[len(p)-sampleTail:]...)
		return len(p), nil
	}
	if len(s.tail)+len(p) > 2*sampleTail {
		n := copy(s.tail, s.tail[len(s.tail)-sampleTail:])
		s.tail = s.tail[:n]
	}
	s.tail = append(s.tail, p...)
	return len(p), nil
}

// content makes what was sampled readable at any place.
func (s *sample) content(open func() (io.ReadCloser, error)) native.Content {
	return &sampled{sample: s, open: open}
}

type sampled struct {
	*sample
	open func() (io.ReadCloser, error)
	all  []byte
}

func (s *sampled) Size() int64 { return s.size }

func (s *sampled) ReadAt(p []byte, off int64) (int, error) {
	end := off + int64(len(p))
	switch tailAt := s.size - int64(len(s.tail)); {
	case off >= s.size:
		return 0, io.EOF
	case end <= int64(len(s.head)):
		return copy(p, s.head[off:]), nil
	case off >= tailAt:
		return short(copy(p, s.tail[off-tailAt:]), len(p))
	}
	if err := s.load(); err != nil {
		return 0, err
	}
	return short(copy(p, s.all[off:]), len(p))
}

func short(n, want int) (int, error) {
	if n < want {
		return n, io.EOF
	}
	return n, nil
}

func (s *sampled) load() error {
	if s.all != nil {
		return nil
	}
	r, err := s.open()
	if err != nil {
		return err
	}
	defer r.Close()
	all := make([]byte, s.size)
	if _, err := io.ReadFull(r, all); err != nil {
		return fmt.Errorf("read again: %w", err)
	}
	s.all = all
	return nil
}
