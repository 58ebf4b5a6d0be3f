package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/capstan-ota/capstan"
)

// Main runs the command that the process was started with and returns its exit
// code. The first signal stops the command, a second one the process.
func Main() int {
	w, err := RealWorld()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return capstan.ExitError
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return Run(ctx, w, os.Args[1:])
}

// Run runs one command in w and returns its exit code.
func Run(ctx context.Context, w World, args []string) int {
	s := newSession(w)
	// Also for errors that stop the parser before it comes to the flag.
	s.json = slices.Contains(args, "--json")
	root := newRoot(s)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	return s.fail(usage(err))
}
