package main

import (
	"fmt"
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newLogger logs to out, for people or in JSON.
func newLogger(out io.Writer, level string, asJSON bool) (*zap.Logger, error) {
	l, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	c := zap.NewProductionEncoderConfig()
	c.EncodeTime = zapcore.ISO8601TimeEncoder
	c.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(c)
	if !asJSON {
		c.EncodeLevel = zapcore.CapitalLevelEncoder
		c.ConsoleSeparator = "  "
		encoder = zapcore.NewConsoleEncoder(c)
	}
	return zap.New(plainErrors{zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(out)), l)}), nil
}

// plainErrors is a core that writes of an error only its sentence. zap adds a
// field with the stack, pages of it for the errors of Pebble.
type plainErrors struct{ zapcore.Core }

// With is a core that adds fields to each line.
func (c plainErrors) With(fields []zapcore.Field) zapcore.Core {
	return plainErrors{c.Core.With(withoutStacks(fields))}
}

// Check takes the line if its level is wanted.
func (c plainErrors) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write writes one line.
func (c plainErrors) Write(e zapcore.Entry, fields []zapcore.Field) error {
	return c.Core.Write(e, withoutStacks(fields))
}

// withoutStacks is fields, with the sentences of errors in the errors' place.
func withoutStacks(fields []zapcore.Field) []zapcore.Field {
	var plain []zapcore.Field
	for i, f := range fields {
		err, ok := f.Interface.(error)
		if f.Type != zapcore.ErrorType || !ok {
			continue
		}
		if plain == nil {
			plain = append(plain, fields...)
		}
		plain[i] = zap.String(f.Key, err.Error())
	}
	if plain == nil {
		return fields
	}
	return plain
}
