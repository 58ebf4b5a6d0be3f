package pack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
)

// webBuild writes about n bytes: half scripts in files of 200 kB, half images.
func webBuild(b testing.TB, n int) string {
	files := with()
	for i := range n / 400_000 {
		files[fmt.Sprintf("js/chunk-%d.js", i)] = words(uint64(i), 200_000)
		files[fmt.Sprintf("img/photo %d.jpg", i)] = noise(uint64(i), 200_000)
	}
	return folder(b, files)
}

func BenchmarkFolder50MB(b *testing.B) {
	dir := webBuild(b, 50_000_000)
	b.SetBytes(50_000_000)
	for b.Loop() {
		s, err := Folder(context.Background(), dir, Options{})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

func BenchmarkWriteArchive50MB(b *testing.B) {
	s := load(b, webBuild(b, 50_000_000), Options{})
	b.SetBytes(s.Bytes)
	b.ReportAllocs()
	var size int64
	for b.Loop() {
		info, err := s.WriteArchive(context.Background(), io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		size = info.Bytes
	}
	b.ReportMetric(float64(size)/1e6, "zip-MB")
}

func BenchmarkCheckArchive50MB(b *testing.B) {
	s := load(b, webBuild(b, 50_000_000), Options{})
	var zip bytes.Buffer
	if _, err := s.WriteArchive(context.Background(), &zip); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(s.Bytes)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := CheckArchive(context.Background(), bytes.NewReader(zip.Bytes()), int64(zip.Len()), s.options.Limits); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompressText(b *testing.B)  { benchmarkCompress(b, words(1, 1_000_000)) }
func BenchmarkCompressNoise(b *testing.B) { benchmarkCompress(b, noise(1, 1_000_000)) }

func benchmarkCompress(b *testing.B, plain string) {
	b.SetBytes(int64(len(plain)))
	var size int
	for b.Loop() {
		packed, err := Compress([]byte(plain))
		if err != nil {
			b.Fatal(err)
		}
		size = len(packed)
	}
	b.ReportMetric(float64(size)/1e6, "br-MB")
}
