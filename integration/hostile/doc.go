// Package hostile holds clients that want to do harm, or do it by accident, and
// the measure of it: what others notice.
//
//	go test ./integration/hostile
//	go test ./integration/hostile -run 'TestOneServer/deaf'
//
// shapes.go has the table of what such clients do. A new shape is one entry: its
// name, what it needs beforehand, and what one of its connections does over and
// over until it is told to stop. The server may refuse any of it, and may close
// the connection.
//
// While a shape runs, probes (probe.go) send small reads, small writes, ruok and
// srvr without a pause. Each of them must get its answers, with no gap longer
// than gapMax, and the server's memory must stay below memoryMax. Both are far
// above what is seen on a quiet machine, and far below what the shapes did to
// servers that bound the number of things and not their cost.
package hostile
