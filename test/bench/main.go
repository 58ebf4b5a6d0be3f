// Command bench measures what Capstan promises about speed and memory and
// prints one table. Every figure that depends on the machine stands beside a
// baseline from the same run, as a ratio; quote the ratios.
//
//	go run ./test/bench            everything, about three minutes
//	go run ./test/bench -only check,offer
//
// Load goes to loopback only, for a bounded time.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

// row is one line of the table.
type row struct {
	what     string
	ours     string
	baseline string
	ratio    string // ours against the baseline, "–" where there is none
	goal     string
	met      bool
}

// A bench measures one thing.
type bench struct {
	name string
	run  func(ctx context.Context, o options) ([]row, error)
}

type options struct {
	seconds time.Duration // of each round of load
	rounds  int
}

var benches = []bench{
	{"check", checkThroughput},
	{"offer", offerThroughput},
	{"allocs", allocations},
	{"flat", flatness},
	{"publish", publishing},
	{"start", startUp},
}

func main() {
	if mode := os.Getenv(childMode); mode != "" {
		child(mode)
		return
	}
	only := flag.String("only", "", "comma-separated names to run; empty runs all")
	seconds := flag.Duration("time", 2*time.Second, "length of each round of load")
	rounds := flag.Int("rounds", 5, "rounds of each pair; the median ratio is shown")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	fmt.Printf("%s, %s/%s, %d CPUs\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	var rows []row
	for _, b := range benches {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), b.name) {
			continue
		}
		got, err := b.run(ctx, options{*seconds, *rounds})
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench %s: %v\n", b.name, err)
			os.Exit(1)
		}
		rows = append(rows, got...)
	}
	print(rows)
}

func print(rows []row) {
	head := row{"", "ours", "baseline", "ratio", "goal", true}
	widths := [5]int{}
	for _, r := range append(rows, head) {
		for i, cell := range []string{r.what, r.ours, r.baseline, r.ratio, r.goal} {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	line := func(r row, mark string) {
		for i, cell := range []string{r.what, r.ours, r.baseline, r.ratio, r.goal} {
			fmt.Print(cell, strings.Repeat(" ", widths[i]-len([]rune(cell))+2))
		}
		fmt.Println(mark)
	}
	line(head, "")
	for _, r := range rows {
		mark := "met"
		if !r.met {
			mark = "NOT MET"
		}
		line(r, mark)
	}
}

// median of at least one value.
func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}
