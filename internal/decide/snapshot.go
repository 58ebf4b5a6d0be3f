package decide

import "github.com/capstan-ota/capstan"

// App is everything the server knows about one app that can change an answer,
// compiled for reading. It is never modified after Compile and preparing.
type App struct {
	Number  int64 // of the last change that is in it
	Row     capstan.App
	Bundles map[string]*Bundle // by id
}

// Channel is a channel as compiled into a snapshot.
type Channel struct {
	capstan.Channel
}

// Compile compiles the rows of one app. It refuses contradictions, so that
// Decide cannot meet one.
func Compile(rows capstan.AppState) (*App, error) { panic("todo") }

// Decide returns what the device gets.
func Decide(a *App, o Overlay, q *Query) Decision { panic("todo") }

// Explain is Decide with every gate it passed, in order.
func Explain(a *App, o Overlay, q *Query) (Decision, []Step) { panic("todo") }
