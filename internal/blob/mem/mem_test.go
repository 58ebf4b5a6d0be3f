package mem_test

import (
	"testing"
	"time"

	"github.com/capstan-ota/capstan/internal/blob"
	"github.com/capstan-ota/capstan/internal/blob/blobtest"
	"github.com/capstan-ota/capstan/internal/blob/mem"
)

func TestStore(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(*testing.T) blob.Store { return mem.New(time.Now) })
}

func BenchmarkStore(b *testing.B) {
	blobtest.Bench(b, func(*testing.B) blob.Store { return mem.New(time.Now) })
}
