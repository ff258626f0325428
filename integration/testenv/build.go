package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// run runs a command in dir; its output is in the error.
func run(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return nil
}

func writeFiles(dir string, files map[string]string) error {
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// CompileJava compiles the .java files of a folder against j's jars, and
// returns the folder with the classes. It is cached by what the files say.
func (j *Java) CompileJava(t testing.TB, srcDir string) string {
	t.Helper()
	sources, err := filepath.Glob(filepath.Join(srcDir, "*.java"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("no .java files in %s (%v)", srcDir, err)
	}
	sort.Strings(sources)
	text := []byte(j.libs)
	for i, s := range sources {
		b, err := os.ReadFile(s)
		if err != nil {
			t.Fatal(err)
		}
		text = append(append(text, s...), b...)
		if sources[i], err = filepath.Abs(s); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := cached(t, "classes-"+filepath.Base(srcDir), text, func(dir string) error {
		javac, err := exec.LookPath("javac")
		if err != nil {
			missing(t, "no javac command (install a JDK, 11 or newer)")
		}
		args := []string{"-nowarn", "-proc:none", "--release", "11", "-d", ".", "-cp", filepath.Join(j.libs, "*")}
		return run(dir, javac, append(args, sources...)...)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// NeedPython returns the python command of a virtual environment that has the
// given packages (as pip names them, with versions), made if need be.
func NeedPython(t testing.TB, packages ...string) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		missing(t, "no python3 command")
	}
	list := strings.Join(packages, " ")
	dir, err := cached(t, "python", []byte(python+" "+list), func(dir string) error {
		// The environment is made without copies of the interpreter's path in
		// it being used: it works after its folder has been renamed.
		if err := run(dir, python, "-m", "venv", "."); err != nil {
			return err
		}
		args := []string{"-m", "pip", "install", "-q", "--disable-pip-version-check"}
		return run(dir, filepath.Join(dir, "bin", "python"), append(args, packages...)...)
	})
	if err != nil {
		missing(t, "python environment with %s: %v", list, err)
	}
	return filepath.Join(dir, "bin", "python")
}
