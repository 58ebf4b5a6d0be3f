package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Tree is the parsed source of a module.
type Tree struct {
	Packages []*Package        // ordered by path
	GoMods   map[string]string // text of every go.mod, by path
	fset     *token.FileSet
}

// Package is one folder of Go files.
type Package struct {
	Path  string // below the module, "." for its root
	Files []File // ordered by name
}

// File is one parsed Go file.
type File struct {
	Name string // path below the module
	Test bool   // of the test binary only: named _test.go
	*ast.File
}

// Load parses every Go file below fsys, except those of nested modules,
// testdata, and folders that the go command ignores.
func Load(fsys fs.FS) (*Tree, error) {
	t := &Tree{GoMods: map[string]string{}, fset: token.NewFileSet()}
	byPath := map[string]*Package{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return t.enter(fsys, name)
		case !strings.HasSuffix(name, ".go"):
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(t.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("parse %s: %w", name, err)
		}
		dir := path.Dir(name)
		if byPath[dir] == nil {
			byPath[dir] = &Package{Path: dir}
			t.Packages = append(t.Packages, byPath[dir])
		}
		byPath[dir].Files = append(byPath[dir].Files, File{Name: name, Test: strings.HasSuffix(name, "_test.go"), File: parsed})
		return nil
	})
	slices.SortFunc(t.Packages, func(a, b *Package) int { return strings.Compare(a.Path, b.Path) })
	return t, err
}

// enter decides whether a folder is looked into.
func (t *Tree) enter(fsys fs.FS, dir string) error {
	base := path.Base(dir)
	if dir != "." && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules") {
		return fs.SkipDir
	}
	mod, err := fs.ReadFile(fsys, path.Join(dir, "go.mod"))
	if err == nil {
		t.GoMods[path.Join(dir, "go.mod")] = string(mod)
		if dir != "." {
			return fs.SkipDir
		}
	}
	return nil
}

// Files counts the Go files of t.
func (t *Tree) Files() int {
	n := 0
	for _, p := range t.Packages {
		n += len(p.Files)
	}
	return n
}

// at is where a node stands, "path:line".
func (t *Tree) at(n ast.Node) string {
	p := t.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// row returns the row of [Imports] for the package at path.
func row(pkg string) (Row, bool) {
	for _, r := range Imports {
		if covers(r.Package, pkg) {
			return r, true
		}
	}
	return Row{}, false
}

// covers reports whether pattern names pkg: exactly, or as "dir/...".
func covers(pattern, pkg string) bool {
	dir, all := strings.CutSuffix(pattern, "/...")
	return pkg == dir || all && strings.HasPrefix(pkg, dir+"/")
}

// layer returns the layer of a file: tests may use what programs may.
func layer(pkg string, f File) Layer {
	r, ok := row(pkg)
	if f.Test || !ok {
		return Program
	}
	return r.Layer
}

// importPath returns the unquoted path of an import.
func importPath(spec *ast.ImportSpec) string { return strings.Trim(spec.Path.Value, "`\"") }

// importName returns the name under which f knows the package imported as
// path, or "" when it does not import it.
func importName(f File, importedPath string) string {
	for _, spec := range f.Imports {
		if importPath(spec) != importedPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importedPath)
	}
	return ""
}

// uses yields every mention of one of the names of an imported package, in a
// call or as a value.
func uses(f File, importedPath string, names ...string) func(yield func(*ast.SelectorExpr) bool) {
	return func(yield func(*ast.SelectorExpr) bool) {
		local := importName(f, importedPath)
		if local == "" {
			return
		}
		for n := range ast.Preorder(f.File) {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || !slices.Contains(names, sel.Sel.Name) {
				continue
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == local && !yield(sel) {
				return
			}
		}
	}
}
