package wire

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// fill is the reverse of show: it sets a record from its form in a recording.
func fill(t *testing.T, r any, op string, x any) {
	t.Helper()
	switch r := r.(type) {
	case *MultiRequest:
		for _, part := range x.([]any) {
			if h, body := fillPart(t, part); !h.Done {
				o := MultiOp{Op: h.Op, Body: newMultiBody(h.Op, r.Reads)}
				fill(t, o.Body, h.Op.String(), body)
				r.Ops = append(r.Ops, o)
			}
		}
	case *MultiResponse:
		for _, part := range x.([]any) {
			if h, body := fillPart(t, part); !h.Done {
				res := MultiResult{Op: h.Op, Err: h.Err}
				fillValue(t, reflect.ValueOf(&res).Elem(), "", body)
				r.Results = append(r.Results, res)
			}
		}
	case *Stat:
		fillValue(t, reflect.ValueOf(r).Elem(), "", x.(map[string]any)["stat"])
	default:
		fillValue(t, reflect.ValueOf(r).Elem(), op, x)
	}
}

func fillPart(t *testing.T, part any) (h MultiHeader, body any) {
	t.Helper()
	m := part.(map[string]any)
	fillValue(t, reflect.ValueOf(&h).Elem(), "", m["header"])
	return h, m["body"]
}

func fillValue(t *testing.T, v reflect.Value, op string, x any) {
	t.Helper()
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(x.(bool))
	case reflect.Int32, reflect.Int64:
		n, err := x.(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		v.SetInt(n)
	case reflect.String:
		v.SetString(x.(string))
	case reflect.Slice:
		switch {
		case x == nil:
		case v.Type().Elem().Kind() == reflect.Uint8:
			v.SetBytes(unhex(t, strings.TrimPrefix(x.(string), "hex:")))
		default:
			list := x.([]any)
			v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
			for i := range list {
				fillValue(t, v.Index(i), op, list[i])
			}
		}
	case reflect.Struct:
		fillStruct(t, v, op, x.(map[string]any))
	default:
		t.Fatalf("cannot fill a %v", v.Type())
	}
}

func fillStruct(t *testing.T, v reflect.Value, op string, m map[string]any) {
	t.Helper()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous {
			fillStruct(t, v.Field(i), op, m)
			continue
		}
		x, ok := m[juteName(op, f.Name)]
		if f.Name == "ReadOnly" {
			v.FieldByName("HasReadOnly").SetBool(x != nil)
			if x == nil {
				continue
			}
		}
		if ok && !notEncoded[f.Name] {
			fillValue(t, v.Field(i), op, x)
		}
	}
}
