package term

import (
	"fmt"
	"sync"
	"time"
)

// redrawEvery bounds how often the line is drawn.
const redrawEvery = 100 * time.Millisecond

// Progress is one line on Err that is drawn over and over and vanishes at the
// end. It is safe for concurrent use. Where Err is no terminal, it does
// nothing.
type Progress struct {
	mu     sync.Mutex
	screen *Screen // nil: draw nothing
	label  string
	done   int64
	total  int64 // 0: unknown
	tail   string
	last   time.Time
	drawn  bool
}

// Progress starts a line. The caller ends it with Finish.
func (s *Screen) Progress() *Progress {
	p := &Progress{}
	if s.ErrTTY && !s.Quiet {
		p.screen = s
	}
	return p
}

// Stage begins another part of the work, of total bytes; 0 when unknown.
func (p *Progress) Stage(label string, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.label, p.total, p.done, p.tail, p.last = label, total, 0, "", time.Time{}
	p.draw()
}

// Add counts bytes of the stage.
func (p *Progress) Add(bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += bytes
	p.draw()
}

// Tail sets the text behind the numbers.
func (p *Progress) Tail(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tail = text
	p.draw()
}

// Finish removes the line, so that what is written next stands in its place.
func (p *Progress) Finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.screen != nil && p.drawn {
		fmt.Fprint(p.screen.Err, "\r\x1b[K")
	}
	p.screen = nil
}

func (p *Progress) draw() {
	if p.screen == nil || p.label == "" {
		return
	}
	now := p.screen.Now()
	if now.Sub(p.last) < redrawEvery {
		return
	}
	p.last, p.drawn = now, true
	text := p.label
	switch {
	case p.total > 0:
		text = fmt.Sprintf("%s %3d %% of %s", p.label, min(100, p.done*100/p.total), Bytes(p.total))
	case p.done > 0:
		text += " " + Bytes(p.done)
	}
	if p.tail != "" {
		text += ", " + p.tail
	}
	fmt.Fprintf(p.screen.Err, "\r%s\x1b[K", Clean(text))
}
