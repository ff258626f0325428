// Package wire holds every record that Zooid exchanges with ZooKeeper clients,
// servers and files, and the jute encoding that they share.
//
//	frame body ─► Decoder ─► record ─► (somebody decides) ─► record ─► Append ─► frame
//
// Jute is big-endian and has no tags: a record is the concatenation of its
// fields. A record encodes with Append, which extends a buffer that the caller
// owns, and decodes with Decode, which reads from a Decoder.
//
// Promises:
//   - Decoding never panics and never allocates more than the bytes at hand
//     justify: every length and count is checked against what is left.
//   - What Decode yields (strings and byte slices) aliases the input. It lives
//     as long as the input is left unchanged; who keeps it longer clones it.
//   - nil and empty are distinct for buffers, as on the wire (length -1 and 0).
//
// The layouts are those of Apache ZooKeeper 3.9 (zookeeper.jute, and the
// frames, headers and multi forms that are written by hand there).
//
// Read types.go, errors.go and op.go for the vocabulary, codec.go for the
// encoding, then request.go, reply.go and multi.go for the client port, and
// txn.go and file.go for the disk.
package wire
