package faults_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stratastore/strata/internal/faults"
)

var errFault = errors.New("fault")

func TestRule(t *testing.T) {
	tests := []struct {
		name string
		rule faults.Rule
		path string
		want []bool // which of the passages fail
	}{
		{"every passage", faults.Rule{Point: "rule.a", Err: errFault}, "/d/f", []bool{true, true, true}},
		{"another point", faults.Rule{Point: "rule.b", Err: errFault}, "/d/f", []bool{false, false}},
		{"after some", faults.Rule{Point: "rule.a", Skip: 1, Err: errFault}, "/d/f", []bool{false, true, true}},
		{"only some", faults.Rule{Point: "rule.a", Skip: 1, Times: 1, Err: errFault}, "/d/f", []bool{false, true, false}},
		{"in the directory", faults.Rule{Point: "rule.a", Under: "/d/", Err: errFault}, "/d/f", []bool{true}},
		{"outside", faults.Rule{Point: "rule.a", Under: "/d", Err: errFault}, "/de/f", []bool{false}},
		{"every point", faults.Rule{Skip: 1, Times: 1, Err: errFault}, "/d/f", []bool{false, true, false}},
		{"nothing to fail with", faults.Rule{Point: "rule.a"}, "/d/f", []bool{false}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			disable := faults.Enable(tt.rule)
			for i, want := range tt.want {
				if err := faults.Hit("rule.a", tt.path); errors.Is(err, errFault) != want {
					t.Errorf("passage %d: error %v, want failure %t", i, err, want)
				}
			}
			disable()
			if err := faults.Hit("rule.a", tt.path); err != nil {
				t.Errorf("after disabling: %v", err)
			}
		})
	}
}

func TestDoRunsFirst(t *testing.T) {
	ran := false
	defer faults.Enable(faults.Rule{Point: "do.a", Do: func() { ran = true }, Err: errFault})()
	if err := faults.Hit("do.a", "/x"); !errors.Is(err, errFault) || !ran {
		t.Fatalf("Hit = %v, ran %t", err, ran)
	}
}

func TestRecord(t *testing.T) {
	hit := func(point, path string) {
		if err := faults.Hit(point, path); err != nil {
			t.Error(err)
		}
	}
	stop := faults.Record("/d")
	hit("record.a", "/d/x")
	hit("record.b", "/e")
	hit("record.b", "/d")
	hit("record.a", "/d/y")
	got := stop()
	hit("record.c", "/d")
	if want := []string{"record.a", "record.b", "record.a"}; !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
}

func TestHitOffIsFree(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _ = faults.Hit("free", "/x") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHitOff(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := faults.Hit("bench", "/x"); err != nil {
			b.Fatal(err)
		}
	}
}
