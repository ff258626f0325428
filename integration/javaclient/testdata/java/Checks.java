import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Objects;
import java.util.concurrent.Callable;

/**
 * Reports checks to the Go test that runs this program: a JSON line each on
 * standard output. A check is a piece of code that throws when it does not hold.
 */
final class Checks {
    interface Body {
        void run() throws Exception;
    }

    private static int count;
    private static final BufferedReader answers =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

    private Checks() {}

    /** Runs one check and reports it. */
    static void check(String name, Body body) {
        String detail = null;
        try {
            body.run();
        } catch (Throwable e) {
            StringBuilder at = new StringBuilder(e.toString());
            for (StackTraceElement f : e.getStackTrace()) {
                if (f.getClassName().endsWith("Suite")) {
                    at.append(" at ").append(f.getFileName()).append(':').append(f.getLineNumber());
                }
            }
            detail = at.toString();
        }
        count++;
        line("{\"check\":" + quote(name) + ",\"ok\":" + (detail == null)
            + (detail == null ? "" : ",\"detail\":" + quote(detail)) + "}");
    }

    /** Says that every check has been made. */
    static void done() {
        line("{\"done\":" + count + "}");
    }

    /** Has the test do something to the connections: drop, cut or heal. */
    static void ask(String what) throws Exception {
        line("{\"ask\":" + quote(what) + "}");
        String answer = answers.readLine();
        if (!"ok".equals(answer)) {
            throw new IllegalStateException("the test answered " + answer);
        }
    }

    static void same(Object want, Object got) {
        if (!Objects.equals(want, got)) {
            throw new AssertionError("got <" + got + ">, want <" + want + ">");
        }
    }

    static void that(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    /** Waits for a condition that another process brings about. */
    static void await(String what, Callable<Boolean> cond) throws Exception {
        long deadline = System.nanoTime() + 20_000_000_000L;
        while (!cond.call()) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError("not within 20 s: " + what);
            }
            Thread.sleep(10);
        }
    }

    static byte[] bytes(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] b) {
        return b == null ? null : new String(b, StandardCharsets.UTF_8);
    }

    private static synchronized void line(String s) {
        System.out.println(s);
        System.out.flush();
    }

    private static String quote(String s) {
        StringBuilder b = new StringBuilder("\"");
        for (char c : s.toCharArray()) {
            if (c == '"' || c == '\\') {
                b.append('\\').append(c);
            } else if (c < 0x20) {
                b.append(String.format("\\u%04x", (int) c));
            } else {
                b.append(c);
            }
        }
        return b.append('"').toString();
    }
}
