package testenv

import (
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// Only so many JVMs may run on a machine at a time, whatever number of test
// binaries go test has started: one server and one client. An ensemble's members
// count as one server. Who needs both takes the server's place first, so nobody
// waits in a circle.
const (
	placeServer = "server"
	placeClient = "client"
)

// takePlace waits for the place and keeps it until the test ends.
func takePlace(t testing.TB, place string) {
	t.Helper()
	unlock := lockFile(t, filepath.Join(cacheDir(t), "jvm-"+place+".lock"), "the JVM of another test to end")
	t.Cleanup(unlock)
}

// Java is what programs for the JVM need: Apache ZooKeeper 3.9.5 with server
// and client, Curator 5.7.1, a logger.
type Java struct {
	bin  string // the java command
	libs string // folder with the jars
	logs string // folder with logback.xml

	placed bool // the client JVM's place is taken
	// flags of the JVM itself: smallJVM unless its speed matters
	flags []string
}

// smallJVM is a small heap and a quick start.
var smallJVM = []string{"-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"}

// The dependencies that ZooKeeper's pom marks as provided are named here: the
// server needs metrics-core and snappy-java, its shell commons-cli and jline.
const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>zooid.test</groupId><artifactId>peers</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.zookeeper</groupId><artifactId>zookeeper</artifactId><version>3.9.5</version></dependency>
    <dependency><groupId>org.apache.curator</groupId><artifactId>curator-recipes</artifactId><version>5.7.1</version></dependency>
    <dependency><groupId>io.dropwizard.metrics</groupId><artifactId>metrics-core</artifactId><version>4.1.12.1</version></dependency>
    <dependency><groupId>org.xerial.snappy</groupId><artifactId>snappy-java</artifactId><version>1.1.10.5</version></dependency>
    <dependency><groupId>commons-cli</groupId><artifactId>commons-cli</artifactId><version>1.5.0</version></dependency>
    <dependency><groupId>org.jline</groupId><artifactId>jline</artifactId><version>3.25.1</version></dependency>
    <dependency><groupId>ch.qos.logback</groupId><artifactId>logback-classic</artifactId><version>1.3.15</version></dependency>
  </dependencies>
</project>
`

const logback = `<configuration>
  <appender name="E" class="ch.qos.logback.core.ConsoleAppender">
    <target>System.err</target>
    <encoder><pattern>%d{HH:mm:ss.SSS} %-5level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="${zooid.test.log:-WARN}"><appender-ref ref="E"/></root>
</configuration>
`

// NeedJava finds java, fetches the jars if they are not in the cache yet, and
// ends the test (see package) if that cannot be.
func NeedJava(t testing.TB) *Java {
	t.Helper()
	bin, err := exec.LookPath("java")
	if err != nil {
		missing(t, "no java command (install a JDK, 11 or newer)")
	}
	dir, err := cached(t, "java-libs", []byte(pom+logback), func(dir string) error { return fetchJars(t, dir) })
	if err != nil {
		missing(t, "%v", err)
	}
	return &Java{bin: bin, libs: filepath.Join(dir, "lib"), logs: dir, flags: smallJVM}
}

func fetchJars(t testing.TB, dir string) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		missing(t, "no mvn command to fetch Apache ZooKeeper with (install Maven)")
	}
	if err := writeFiles(dir, map[string]string{"pom.xml": pom, "logback.xml": logback}); err != nil {
		return err
	}
	return run(dir, mvn, "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib", "-DincludeScope=runtime")
}

// command is java with a class path of the jars and what else stands in
// classes.
func (j *Java) command(flags []string, classes string, args ...string) *exec.Cmd {
	cp := j.logs + ":" + filepath.Join(j.libs, "*")
	if classes != "" {
		cp = classes + ":" + cp
	}
	all := append(slices.Concat(j.flags, []string{"-cp", cp}), flags...)
	return exec.Command(j.bin, append(all, args...)...)
}
