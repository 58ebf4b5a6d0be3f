package control_test

import (
	"testing"

	"github.com/capstan-ota/capstan/internal/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }
