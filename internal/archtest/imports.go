package archtest

// Module is the path of the module whose rules these are.
const Module = "github.com/capstan-ota/capstan"

// Layer says what a package may know about the world.
type Layer int

const (
	// Pure packages turn values into values: no I/O, clock, chance or goroutines.
	Pure Layer = iota
	// Low packages do I/O of one kind: files, streams, rows, a terminal.
	Low
	// Edge packages are where time, randomness and settings enter the program.
	Edge
	// Program packages are tests and tools: they may use everything, and nothing
	// that ships may use them.
	Program
)

// Row is what one package may import directly, besides the standard library.
type Row struct {
	Package  string   // path below the module, "." for its root; "dir/..." for all below dir
	Layer    Layer    //
	Internal []string // packages of this module, as in Package; "*" for every one that ships
	External []string // modules of others
	Why      string   // the sentence that people read when they break the rule
}

// Imports is the table of import direction. Whoever needs another arrow says
// in the commit why the code cannot stand on the other side of it.
var Imports = []Row{
	{Package: ".", Layer: Pure,
		Why: "the domain imports nothing but the standard library, so that every package may import it"},

	{Package: "internal/decide", Layer: Pure, Internal: []string{".", "internal/rollout"},
		Why: "a decision is a pure function of snapshot and query: server, `why`, preview and simulator call the same one"},
	{Package: "internal/rollout", Layer: Pure, Internal: []string{"."},
		Why: "where a device stands in a rollout depends on salt and device id alone, the same on every node"},
	{Package: "internal/manifest", Layer: Pure, Internal: []string{"."}, External: []string{"golang.org/x/text"},
		Why: "a manifest is a value with a root; who stores or sends it is not its business"},
	{Package: "internal/native", Layer: Pure, Internal: []string{".", "internal/manifest"},
		Why: "what is native code follows from names and bytes; archives are opened through a function that it is given"},

	{Package: "internal/pack", Layer: Low, Internal: []string{".", "internal/manifest", "internal/native"},
		External: []string{"github.com/andybalholm/brotli", "github.com/klauspost/compress", "github.com/molecule-man/go-brrr",
			"github.com/ulikunitz/xz", "golang.org/x/sync", "golang.org/x/text"},
		Why: "packing knows files and streams; database and HTTP stay out, so that CLI and server pack alike"},
	{Package: "internal/blob", Layer: Low, Internal: []string{"."},
		Why: "a blob is bytes under a digest; what they belong to is known to rows, and store and blob never import each other"},
	{Package: "internal/blob/disk", Layer: Low, Internal: []string{".", "internal/blob"},
		Why: "an implementation of blob.Store knows the interface and its own technology"},
	{Package: "internal/blob/mem", Layer: Low, Internal: []string{".", "internal/blob"},
		Why: "an implementation of blob.Store knows the interface and its own technology"},

	{Package: "internal/store", Layer: Low, Internal: []string{"."},
		External: []string{"github.com/jackc/pgx/v5", "github.com/pressly/goose/v3", "modernc.org/sqlite"},
		Why:      "the store turns rows in and rows out; it decides nothing, and store and blob never import each other"},
	{Package: "internal/auth", Layer: Low, Internal: []string{"."},
		Why: "who may do what is decided on tokens and scopes, below every protocol"},
	{Package: "internal/catalog", Layer: Low, Internal: []string{".", "internal/store", "internal/decide"},
		External: []string{"golang.org/x/sync"},
		Why:      "the catalog compiles rows into snapshots; it neither writes rows nor speaks a protocol"},
	{Package: "internal/ingest", Layer: Low, Internal: []string{".", "internal/store", "internal/decide", "internal/catalog"},
		External: []string{"github.com/google/uuid", "golang.org/x/sync"},
		Why:      "what devices report goes into rows and into the catalog's overlay, through no verb of the control plane"},
	{Package: "internal/control", Layer: Low, Internal: []string{".", "internal/store", "internal/blob", "internal/auth", "internal/native",
		"internal/manifest", "internal/pack", "internal/rollout", "internal/catalog"},
		External: []string{"github.com/google/uuid", "golang.org/x/sync"},
		Why:      "the verbs stand above state and below every protocol: a rule in an edge would hold for that edge only"},
	{Package: "internal/jobs", Layer: Low, Internal: []string{".", "internal/store", "internal/blob", "internal/rollout", "internal/catalog", "internal/control"},
		External: []string{"golang.org/x/sync"},
		Why:      "jobs call the same verbs as people do, and speak no protocol"},

	{Package: "internal/wire/capgo", Layer: Low, Internal: []string{".", "internal/control", "internal/catalog", "internal/ingest",
		"internal/auth", "internal/decide", "internal/store", "internal/blob"},
		Why: "a wire protocol translates and decides nothing; edges never import each other"},
	{Package: "internal/api", Layer: Low, Internal: []string{".", "internal/control", "internal/catalog", "internal/ingest", "internal/auth",
		"internal/decide", "internal/store", "internal/blob", "client"}, External: []string{"github.com/danielgtaylor/huma/v2"},
		Why: "the public API translates and decides nothing; its shapes live in the client package; edges never import each other"},
	{Package: "internal/server", Layer: Edge, Internal: []string{"*"},
		External: []string{"github.com/google/uuid", "golang.org/x/sync", "golang.org/x/crypto"},
		Why:      "the server is the one place of wiring: it imports what it wires, and neither the CLI nor the simulator"},

	{Package: "client", Layer: Low, Internal: []string{"."},
		Why: "the client is what users of the API import: it depends on the domain and the standard library"},
	{Package: "internal/sim", Layer: Edge, Internal: []string{".", "client", "internal/decide", "internal/rollout", "internal/manifest", "internal/pack"},
		External: []string{"github.com/andybalholm/brotli", "github.com/google/uuid", "golang.org/x/sync"},
		Why:      "the simulator is written from the protocol text, not from wire/capgo: a slip on one side must not be mirrored on the other"},
	{Package: "internal/term", Layer: Low,
		External: []string{"github.com/mattn/go-isatty", "github.com/dustin/go-humanize", "golang.org/x/term"},
		Why:      "a leaf that draws on a terminal knows nothing of what it draws"},
	// auth for the form of a token alone: to make one offline, and to tell a
	// mistyped one before it is sent anywhere.
	{Package: "internal/cli", Layer: Edge, Internal: []string{".", "client", "internal/auth", "internal/server", "internal/pack", "internal/manifest", "internal/native",
		"internal/sim", "internal/term"},
		External: []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/evanw/esbuild", "github.com/dop251/goja",
			"github.com/google/uuid", "github.com/dustin/go-humanize", "github.com/mattn/go-isatty", "golang.org/x/term", "golang.org/x/sync"},
		Why: "the CLI talks to a server only through the public API and its client; it imports the server for `serve` alone"},
	{Package: "cmd/capstan", Layer: Low, Internal: []string{"internal/cli"},
		Why: "main calls cli.Main and does nothing else"},

	{Package: "internal/golden", Layer: Program, Internal: []string{"*"}, External: []string{"*"}, Why: "test helpers may import what they test"},
	{Package: "internal/archtest", Layer: Program, Internal: []string{"*"}, External: []string{"*"}, Why: "test helpers may import what they test"},
	{Package: "internal/blob/blobtest", Layer: Program, Internal: []string{"*"}, External: []string{"*"}, Why: "test helpers may import what they test"},
	{Package: "internal/store/storetest", Layer: Program, Internal: []string{"*"}, External: []string{"*"}, Why: "test helpers may import what they test"},
	{Package: "test/...", Layer: Program, Internal: []string{"*"}, External: []string{"*"}, Why: "test programs may import what they test"},
	{Package: "examples/...", Layer: Program, Internal: []string{".", "client"}, Why: "examples use what users can use: the public packages"},
}

// standard says who may import a package of the standard library that is not
// for everybody.
var standard = []struct {
	Imports []string // "dir/..." for all below, and dir itself
	May     func(pkg string, l Layer) bool
	Why     string
}{
	{
		[]string{"context", "net/...", "os/...", "database/sql/...", "log/...", "math/rand/...", "crypto/rand", "syscall"},
		func(_ string, l Layer) bool { return l != Pure },
		"pure packages do no I/O, wait for nothing and know no chance: hand them values",
	},
	{
		[]string{"database/sql/..."},
		func(pkg string, l Layer) bool { return pkg == "internal/store" || l == Program },
		"SQL is written in internal/store and nowhere else",
	},
	{
		[]string{"crypto/rand"},
		func(_ string, l Layer) bool { return l == Edge || l == Program },
		"randomness enters in server, cli and sim and is passed down as a value or a reader",
	},
	{
		[]string{"testing/..."},
		func(_ string, l Layer) bool { return l == Program },
		"what ships does not link the test machinery",
	},
}
