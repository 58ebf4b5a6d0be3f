// Command capstan is server, command line and device simulator in one program.
package main

import (
	"os"

	"github.com/capstan-ota/capstan/internal/cli"
)

func main() { os.Exit(cli.Main()) }
