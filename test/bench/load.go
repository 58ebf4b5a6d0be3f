package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// connections is how many requests are under way at once.
const connections = 32

// load sends requests over kept-alive connections for d and returns how many
// were answered a second. request makes the bytes of the n-th request of a
// connection in buf. Every answer must have status 200 and at least min bytes.
func load(ctx context.Context, addr string, d time.Duration, min int, request func(buf []byte, conn, n int) []byte) (perSecond float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		total int
	)
	begin := time.Now()
	for conn := range connections {
		wg.Go(func() {
			n, e := converse(ctx, addr, min, func(buf []byte, n int) []byte { return request(buf, conn, n) })
			mu.Lock()
			defer mu.Unlock()
			total += n
			if e != nil && err == nil {
				err = e
			}
		})
	}
	wg.Wait()
	return float64(total) / time.Since(begin).Seconds(), err
}

func converse(ctx context.Context, addr string, min int, request func(buf []byte, n int) []byte) (answered int, err error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 64<<10)
	var buf []byte
	for ctx.Err() == nil {
		buf = request(buf[:0], answered)
		if _, err := conn.Write(buf); err != nil {
			return answered, err
		}
		if err := readAnswer(r, min); err != nil {
			return answered, err
		}
		answered++
	}
	return answered, nil
}

var contentLength = []byte("Content-Length: ")

// readAnswer reads one HTTP/1.1 answer with a Content-Length.
func readAnswer(r *bufio.Reader, min int) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answer %q", bytes.TrimSpace(line))
	}
	length := -1
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if v, ok := bytes.CutPrefix(line, contentLength); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(v))); err != nil {
				return err
			}
		}
	}
	if length < min {
		return fmt.Errorf("answer of %d bytes, expected at least %d", length, min)
	}
	_, err = r.Discard(length)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// check appends an update check as the Android plugin sends it.
func check(buf []byte, device int, running string, gzip bool) []byte {
	body := make([]byte, 0, 512)
	body = fmt.Appendf(body, `{"platform":"android","device_id":"%08x-4f89-41d3-9a0c-0305e82c3301","app_id":%q,"custom_id":"",`+
		`"version_build":"1.0.0","version_code":"10000","version_os":"14","version_name":%q,"plugin_version":"8.51.23",`+
		`"is_emulator":false,"is_prod":true,"install_source":"google_play","defaultChannel":""}`, device, benchApp, running)
	buf = append(buf, "POST /updates HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json; charset=utf-8\r\nUser-Agent: CapacitorUpdater/8.51.23 (com.example.bench) android/14\r\n"...)
	if gzip {
		buf = append(buf, "Accept-Encoding: gzip\r\n"...)
	}
	buf = append(buf, "Content-Length: "...)
	buf = strconv.AppendInt(buf, int64(len(body)), 10)
	buf = append(buf, "\r\n\r\n"...)
	return append(buf, body...)
}
