package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-ota/capstan/internal/server"
)

// Servers under load are children of their own, so that each has one core and
// its own garbage collector: the load generator must not be measured with them.
const (
	childMode = "CAPSTAN_BENCH_CHILD"
	childData = "CAPSTAN_BENCH_DATA"
	childSize = "CAPSTAN_BENCH_SIZE"
)

// child runs one server until standard input closes. It prints its address.
func child(mode string) {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	var err error
	switch mode {
	case "floor":
		err = floor(ctx)
	case "capstan":
		err = capstanServer(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, mode+":", err)
		os.Exit(1)
	}
}

// floor is the bare baseline: it reads the body, decodes nothing, and writes
// as many bytes as Capstan answers. The server has the same settings.
func floor(ctx context.Context) error {
	size, err := strconv.Atoi(os.Getenv(childSize))
	if err != nil {
		return err
	}
	answer := []byte(strings.Repeat("x", size))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			h := w.Header()
			h.Set("Content-Type", "application/json; charset=utf-8")
			h.Set("Content-Length", strconv.Itoa(len(answer)))
			_, _ = w.Write(answer)
		}),
	}
	fmt.Println(l.Addr())
	go func() {
		<-ctx.Done()
		s.Close()
	}()
	if err := s.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

func capstanServer(ctx context.Context) error {
	s, err := server.New(ctx, server.Config{
		Data: os.Getenv(childData), Listen: "127.0.0.1:0", BootstrapToken: os.Getenv("CAPSTAN_BOOTSTRAP_TOKEN"),
	})
	if err != nil {
		return err
	}
	fmt.Println(s.Addr())
	return s.Run(ctx)
}

// process is a running child.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	addr  string
}

// start runs a child with one core and waits for its address.
func start(mode string, env ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), append(env, childMode+"="+mode, "GOMAXPROCS=1")...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("%s did not start: %w", mode, err)
	}
	return &process{cmd: cmd, stdin: stdin, addr: strings.TrimSpace(addr)}, nil
}

// stop ends a child and waits for it.
func (p *process) stop() error {
	p.stdin.Close()
	return p.cmd.Wait()
}
