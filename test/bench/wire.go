package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
)

// devices is how many phones ask in turn: enough that no answer is due to one
// device's state, few enough that last-seen times coalesce as in a real fleet.
const devices = 10_000

// checkThroughput compares checks that find nothing new with a handler that
// decides nothing. Recording who asked is on.
func checkThroughput(ctx context.Context, o options) ([]row, error) {
	return throughput(ctx, o, "check, nothing new, one core", 20, 0.70, func(buf []byte, conn, n int) []byte {
		return check(buf, (conn*7919+n)%devices, "1.0.1", false)
	})
}

// offerThroughput compares offers with a 200-file manifest with a handler that
// writes as many bytes. Devices accept gzip, as Android's and iOS's do.
func offerThroughput(ctx context.Context, o options) ([]row, error) {
	return throughput(ctx, o, "offer, 200-file manifest, gzip, one core", 200, 0.50, func(buf []byte, conn, n int) []byte {
		return check(buf, (conn*7919+n)%devices, "1.0.0", true)
	})
}

func throughput(ctx context.Context, o options, what string, files int, goal float64, request func([]byte, int, int) []byte) ([]row, error) {
	s, err := newSite(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	folder := filepath.Join(s.dir, "web")
	if _, err := webBuild(folder, files-1, files*2000, 3); err != nil {
		return nil, err
	}
	if _, err := s.publish(ctx, folder, "1.0.1"); err != nil {
		return nil, err
	}
	size, err := answerSize(s.process.addr, request(nil, 0, 0))
	if err != nil {
		return nil, err
	}
	bare, err := start("floor", childSize+"="+strconv.Itoa(size))
	if err != nil {
		return nil, err
	}
	defer bare.stop()

	// One round each to warm up, then pairs in turn.
	var ours, floor, ratios []float64
	for i := range o.rounds + 1 {
		a, err := load(ctx, s.process.addr, o.seconds, size, request)
		if err != nil {
			return nil, fmt.Errorf("capstan: %w", err)
		}
		b, err := load(ctx, bare.addr, o.seconds, size, request)
		if err != nil {
			return nil, fmt.Errorf("baseline: %w", err)
		}
		if i > 0 {
			ours, floor, ratios = append(ours, a), append(floor, b), append(ratios, a/b)
		}
	}
	ratio := median(ratios)
	return []row{{
		what: what, ours: fmt.Sprintf("%.1f k/s", median(ours)/1e3), baseline: fmt.Sprintf("%.1f k/s net/http, %d bytes", median(floor)/1e3, size),
		ratio: fmt.Sprintf("%.2f", ratio), goal: fmt.Sprintf("≥ %.2f", goal), met: ratio >= goal,
	}}, nil
}

// answerSize asks once and returns the length of the answer.
func answerSize(addr string, request []byte) (int, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := conn.Write(request); err != nil {
		return 0, err
	}
	r := bufio.NewReader(conn)
	length := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		if _, err := fmt.Sscanf(line, "Content-Length: %d", &length); err == nil {
			continue
		}
		if line == "\r\n" {
			return length, nil
		}
	}
}
