package wire

// FileHeader stands at the beginning of log and snapshot files; 16 bytes.
type FileHeader struct {
	Magic   int32
	Version int32
	DBID    int64
}

// Values of FileHeader.
const (
	LogMagic      int32 = 0x5a4b4c47 // "ZKLG"
	SnapshotMagic int32 = 0x5a4b534e // "ZKSN"
	FileVersion   int32 = 2
	// FileHeaderSize is the encoded size of a FileHeader in bytes.
	FileHeaderSize = 16
	// LogRecordEnd stands behind every record of a log file.
	LogRecordEnd byte = 0x42
)

// Append encodes h.
func (h *FileHeader) Append(b []byte) []byte {
	return AppendInt64(AppendInt32(AppendInt32(b, h.Magic), h.Version), h.DBID)
}

// Decode reads h.
func (h *FileHeader) Decode(d *Decoder) {
	h.Magic = d.Int32()
	h.Version = d.Int32()
	h.DBID = d.Int64()
}
