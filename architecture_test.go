// Package zooid_test holds the rules that the house as a whole keeps: which way
// imports point, which packages are pure, who owns which library, and what a
// reader and an operator may count on. Each rule gives its reason, because a
// rule without one is dropped at the first hurry.
//
// Read architecture_test.go for the packages, tidy_test.go for the text and
// budget_test.go for the binary.
package zooid_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A room is one package of ours with those below it: what it may import of
// ours, and why nothing else.
type room struct {
	mayImport []string
	why       string
	pure      bool
	locks     bool // a pure package that may use sync
}

var all = []string{"*"}

// house is the table of the packages. A package that is missing here has not
// been thought about.
var house = map[string]room{
	"wire":       {nil, "everybody speaks it, so whatever it imported everybody would carry", true, false},
	"znode":      {[]string{"wire"}, "the tree must be the same on every member, whatever its network, disk and configuration", true, true},
	"session":    {[]string{"wire"}, "liveness is arithmetic on times that are handed in; the session table is the tree's", true, false},
	"zab":        {[]string{"wire"}, "the protocol is proven by simulation: it must know neither tree nor socket nor disk", true, false},
	"peer":       {[]string{"wire", "znode", "session", "zab"}, "a member must run in the simulator as it runs on a machine", true, false},
	"fourletter": {[]string{"wire"}, "it formats a plain value and knows nobody, so that words on the client port make no cycle", true, false},
	"config":     {[]string{"wire"}, "text in, value out: whoever needs a setting is handed it and does not ask", true, false},
	"auth":       {[]string{"wire"}, "schemes judge identities; what an ACL protects is the tree's business", false, false},
	"socket":     {nil, "a write that never blocks and a bound for what waits are the same towards clients and between members", false, false},
	"txnlog":     {[]string{"wire"}, "the log keeps records and does not interpret them", false, false},
	"store":      {[]string{"wire", "znode", "txnlog"}, "what is on disk may not depend on who is in the ensemble or who is connected", false, false},
	"quorum": {[]string{"wire", "znode", "session", "zab", "peer", "txnlog", "store", "config", "auth", "socket"},
		"members talk to members; clients and operators reach it through interfaces that they declare", false, false},
	"server": {[]string{"wire", "znode", "session", "auth", "fourletter", "socket"},
		"the clients' network states what it needs of a member as an interface, so that either can be tested without the other", false, false},
	"admin":       {[]string{"fourletter"}, "the operators' network reads a Status through its own interfaces", false, false},
	"cmd/zooid":   {all, "the only place where everything is wired together", false, false},
	"integration": {all, "drills cross all packages", false, false},
}

// An owner is who may import a library, and why nobody else.
type owner struct {
	library string // import path, with all that is below it
	rooms   []string
	why     string
}

var owners = []owner{
	{"github.com/cockroachdb/pebble/v2/vfs", []string{"store", "txnlog", "integration"}, "a file system that can be made to crash is for those who write files"},
	{"github.com/cockroachdb/pebble", []string{"store", "integration"}, "the tree's durable copy is one package's secret"},
	{"github.com/prometheus", []string{"admin"}, "others count in plain values; how they are exposed is admin's"},
	{"github.com/spf13", []string{"cmd/zooid"}, "the command line ends where the wiring begins"},
	{"github.com/go-zookeeper/zk", nil, "another's client is a witness for tests; what ships speaks wire"},
	{"github.com/getsentry/sentry-go", nil, "it comes with Pebble and must never report to anyone"},
	{"pgregory.net/rapid", nil, "for tests"},
	{"github.com/anishathalye/porcupine", []string{"integration"}, "for tests"},
	{"github.com/cockroachdb/datadriven", nil, "for tests"},
	{"github.com/google/go-cmp", nil, "for tests"},
	{"go.uber.org/goleak", nil, "for tests"},
}

// impure are the imports that a pure package does without, and why.
var impure = []owner{
	{"net", nil, "a socket blocks and fails; net/netip and net/url are only values"},
	{"os", nil, "files and the environment differ from machine to machine; they are handed in as values"},
	{"io/ioutil", nil, "as os"},
	{"syscall", nil, "as os"},
	{"golang.org/x/sys", nil, "as os"},
	{"context", nil, "what never waits needs no cancelling"},
	{"crypto/rand", nil, "the same input must give the same output, else a seed does not replay"},
	{"log", nil, "pure packages return what happened; the shell writes it down"},
	{"go.uber.org/zap", nil, "as log"},
	{"expvar", nil, "pure packages return figures; the shell counts"},
	{"testing", nil, "test code belongs in test files"},
}

// values are the packages below an impure one that hold only values.
var values = []string{"net/netip", "net/url"}

// clocks are the functions that make a result depend on when it was computed.
var clocks = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
}

// seeded are the functions of math/rand that take their randomness as an
// argument; all others draw from a source that no seed replays.
var seeded = []string{"New", "NewPCG", "NewChaCha8", "NewSource", "NewZipf", "Rand", "Source", "Source64", "PCG", "ChaCha8", "Zipf"}

func TestImportsPointDownwards(t *testing.T) {
	for _, f := range shippedFiles(t) {
		room, ok := house[f.room]
		if !ok {
			t.Errorf("%s: package %s is not in the house: say in architecture_test.go what it may import, and why", f.name, f.room)
			continue
		}
		for _, imp := range f.imports() {
			ours, ok := strings.CutPrefix(imp, "zooid/")
			if !ok {
				continue
			}
			ours = roomOf(ours)
			if ours == f.room || slices.Contains(room.mayImport, ours) || slices.Equal(room.mayImport, all) {
				continue
			}
			t.Errorf("%s imports %s, and %s may not: %s", f.name, imp, f.room, room.why)
		}
	}
}

func TestPurePackages(t *testing.T) {
	for _, f := range shippedFiles(t) {
		room := house[f.room]
		if !room.pure {
			continue
		}
		for _, imp := range f.imports() {
			for _, ban := range impure {
				if within(imp, ban.library) && !slices.Contains(values, imp) {
					t.Errorf("%s imports %s, and %s is pure: %s", f.name, imp, f.room, ban.why)
				}
			}
			if within(imp, "sync") && !room.locks {
				t.Errorf("%s imports %s, and %s is pure: one goroutine calls it, so a lock would hide a second one", f.name, imp, f.room)
			}
		}
		for _, breach := range impureUses(f) {
			t.Errorf("%s, and %s is pure: the same input must give the same output, whenever and wherever", breach, f.room)
		}
	}
}

// impureUses finds go statements, clocks and randomness without a seed.
func impureUses(f *file) (breaches []string) {
	at := func(n ast.Node) token.Position { return f.fset.Position(n.Pos()) }
	packages := f.packageNames()
	ast.Inspect(f.tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			breaches = append(breaches, fmt.Sprintf("%s starts a goroutine", at(n)))
		case *ast.SelectorExpr:
			id, ok := n.X.(*ast.Ident)
			if !ok {
				break
			}
			switch p := packages[id.Name]; {
			case slices.Contains(clocks[p], n.Sel.Name):
				breaches = append(breaches, fmt.Sprintf("%s uses %s.%s", at(n), p, n.Sel.Name))
			case within(p, "math/rand") && !slices.Contains(seeded, n.Sel.Name):
				breaches = append(breaches, fmt.Sprintf("%s uses the global %s.%s", at(n), p, n.Sel.Name))
			}
		}
		return true
	})
	return breaches
}

// TestImpureUsesSees feeds the checker what it must find.
func TestImpureUsesSees(t *testing.T) {
	const source = `package p
import ("time"; r "math/rand/v2")
func f(d time.Duration, s *r.Rand) {
	go f(d, s)
	_ = time.Now()
	_ = r.IntN(2)
	_ = r.New(r.NewPCG(1, 2))
	<-time.After(d)
}`
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	got := impureUses(&file{name: "p.go", room: "p", fset: fset, tree: tree})
	want := []string{
		"p.go:4:2 starts a goroutine",
		"p.go:5:6 uses time.Now",
		"p.go:6:6 uses the global math/rand/v2.IntN",
		"p.go:8:4 uses time.After",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestLibrariesHaveOwners(t *testing.T) {
	for _, f := range shippedFiles(t) {
		for _, imp := range f.imports() {
			// The first entry that covers the import decides, so the narrower ones stand first.
			i := slices.IndexFunc(owners, func(o owner) bool { return within(imp, o.library) })
			if i >= 0 && !slices.Contains(owners[i].rooms, f.room) {
				t.Errorf("%s imports %s, and only %v may: %s", f.name, imp, owners[i].rooms, owners[i].why)
			}
		}
	}
}

// TestPackagesSayWhatTheyAre wants a package comment in doc.go, or in main.go
// for a command: it is what a newcomer reads first.
func TestPackagesSayWhatTheyAre(t *testing.T) {
	told := map[string]string{} // folder → the file with its package comment
	for _, f := range shippedFiles(t) {
		dir := path.Dir(f.name)
		if _, seen := told[dir]; !seen {
			told[dir] = ""
		}
		if f.tree.Doc == nil {
			continue
		}
		base := path.Base(f.name)
		if base != "doc.go" && f.tree.Name.Name != "main" {
			t.Errorf("%s: a package comment stands in doc.go, where a reader looks for it", f.name)
		}
		told[dir] = base
	}
	for dir, where := range told {
		if where == "" {
			t.Errorf("%s has no package comment: say in doc.go what it owns, what it promises and who may call it", dir)
		}
	}
}

// TestExportedNamesArePromised wants a sentence for every exported name that
// others can reach: exported means promised.
func TestExportedNamesArePromised(t *testing.T) {
	for _, f := range shippedFiles(t) {
		if f.tree.Name.Name == "main" {
			continue
		}
		for _, decl := range f.tree.Decls {
			for _, name := range undocumented(decl) {
				t.Errorf("%s: exported %s has no comment", f.fset.Position(name.Pos()), name.Name)
			}
		}
	}
}

// wellKnown methods are promised by the interface that they are there for.
var wellKnown = []string{"Error", "Unwrap", "String"}

// undocumented lists the exported names of decl without a comment of their own,
// beside them, or on the group in which they stand.
func undocumented(decl ast.Decl) (names []*ast.Ident) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) && !slices.Contains(wellKnown, d.Name.Name) {
			names = append(names, d.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
					names = append(names, s.Name)
				}
			case *ast.ValueSpec:
				if d.Doc == nil && s.Doc == nil && s.Comment == nil {
					names = append(names, slices.DeleteFunc(slices.Clone(s.Names), func(n *ast.Ident) bool { return !n.IsExported() })...)
				}
			}
		}
	}
	return names
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// file is one parsed Go file that is not a test.
type file struct {
	name string // slash-separated, from the project's root
	room string
	fset *token.FileSet
	tree *ast.File
}

// imports are the import paths of f.
func (f *file) imports() (paths []string) {
	for _, spec := range f.tree.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, p)
	}
	return paths
}

// packageNames maps the names by which f speaks of its imports to their paths.
func (f *file) packageNames() map[string]string {
	names := map[string]string{}
	for _, spec := range f.tree.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(p)
		if name == "v2" {
			name = path.Base(path.Dir(p))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = p
	}
	return names
}

// within says whether an import path is that of a library or of something below it.
func within(imp, library string) bool {
	return imp == library || strings.HasPrefix(imp, library+"/")
}

// roomOf is the entry of the house to which a folder belongs.
func roomOf(dir string) string {
	for d := dir; d != "."; d = path.Dir(d) {
		if _, ok := house[d]; ok {
			return d
		}
	}
	return dir
}

// shippedFiles parses all Go files of the module except tests. Files behind
// build tags count as well: a rule that a tag can switch off is none.
func shippedFiles(t *testing.T) (files []*file) {
	t.Helper()
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			base := entry.Name()
			if name != "." && (base == "testdata" || base == "tools" || base[0] == '.' || base[0] == '_') {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		tree, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		files = append(files, &file{name: name, room: roomOf(path.Dir(name)), fset: fset, tree: tree})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no Go files found: the rules were checked on nothing")
	}
	return files
}
