package main

import "testing"

func BenchmarkCheckHandler(b *testing.B) {
	p, err := newInProcess(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer p.close()
	a := newAsker(p)
	b.ReportAllocs()
	for b.Loop() {
		a.ask()
	}
}
