package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// startUp measures the time from starting a process with one app to its first
// answer, and the memory that it holds when idle.
func startUp(ctx context.Context, o options) ([]row, error) {
	s, err := newSite(ctx)
	if err != nil {
		return nil, err
	}
	folder := filepath.Join(s.dir, "web")
	if _, err := webBuild(folder, 20, 40_000, 4); err != nil {
		return nil, err
	}
	if _, err := s.publish(ctx, folder, "1.0.1"); err != nil {
		return nil, err
	}
	if err := s.process.stop(); err != nil {
		return nil, err
	}
	defer os.RemoveAll(s.dir)
	var took []float64
	var memory float64
	for range o.rounds {
		begin := time.Now()
		p, err := start("capstan", childData+"="+filepath.Join(s.dir, "data"))
		if err != nil {
			return nil, err
		}
		resp, err := http.Get("http://" + p.addr + "/healthz")
		if err != nil {
			return nil, err
		}
		resp.Body.Close()
		took = append(took, float64(time.Since(begin).Milliseconds()))
		memory = resident(p.cmd.Process.Pid)
		if err := p.stop(); err != nil {
			return nil, err
		}
	}
	return []row{
		{what: "start to first answer, one app", ours: fmt.Sprintf("%.0f ms", median(took)), baseline: "–", ratio: "–", goal: "< 100 ms", met: median(took) < 100},
		{what: "memory when idle, one app", ours: fmt.Sprintf("%.0f MB", memory), baseline: "–", ratio: "–", goal: "< 40 MB", met: memory < 40},
	}, nil
}

// resident is the memory of a process in MB, the pages of its executable
// included.
func resident(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(b) {
		if v, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			kb, _ := strconv.ParseFloat(string(bytes.Fields(v)[0]), 64)
			return kb / 1000
		}
	}
	return 0
}
