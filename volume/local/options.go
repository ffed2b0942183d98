package local

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stratastore/strata/errdefs"
)

// The sentinels of bad options.
var (
	// ErrOption: an option that local volumes do not have, or can not have like this.
	ErrOption = errdefs.New(errdefs.ErrInvalid, "invalid option")
	// ErrMissing: an option that another one needs.
	ErrMissing = errdefs.New(errdefs.ErrInvalid, "missing required option")
	// ErrNoQuota: the file system of the volumes can not limit sizes.
	ErrNoQuota = errdefs.New(errdefs.ErrUnsupported, "quota size requested but no quota support")
)

// spec is what opts.json holds.
type spec struct {
	MountType   string
	MountOpts   string
	MountDevice string
	Quota       quota
}

type quota struct {
	Size uint64 // in bytes, 0 for none
}

// mounted reports whether the volume is a mount.
func (s spec) mounted() bool { return s.MountType != "" || s.MountDevice != "" }

// parseSpec reads the options of Create.
func parseSpec(options map[string]string) (spec, error) {
	var s spec
	for _, key := range slices.Sorted(maps.Keys(options)) {
		value := options[key]
		if !utf8.ValidString(value) {
			return spec{}, fmt.Errorf("%w: %s is not UTF-8, so it can not be recorded", ErrOption, key)
		}
		switch key {
		case "type":
			s.MountType = value
		case "device":
			s.MountDevice = value
		case "o":
			s.MountOpts = value
		case "size":
			size, err := parseSize(value)
			if err != nil {
				return spec{}, err
			}
			s.Quota.Size = size
		default:
			return spec{}, fmt.Errorf("%w: %q", ErrOption, key)
		}
	}
	return s, s.validate()
}

func (s spec) validate() error {
	missing := ""
	switch {
	case s.MountType == "" && (s.MountDevice != "" || s.MountOpts != ""):
		missing = "type"
	case s.MountDevice == "" && (s.MountType != "" || s.MountOpts != ""):
		missing = "device"
	}
	if missing != "" {
		return fmt.Errorf("%w: %q", ErrMissing, missing)
	}
	if strings.ContainsRune(s.MountType+s.MountDevice+s.MountOpts, 0) {
		return fmt.Errorf("%w: zero byte", ErrOption)
	}
	_, err := parseMountOptions(s.MountOpts)
	return err
}

var sizePattern = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?([kKmMgGtTpP]?)(?:[iI]?[bB])?$`)

// parseSize reads a number with a unit: binary multiples, "10g", "512MiB", "100".
func parseSize(text string) (uint64, error) {
	parts := sizePattern.FindStringSubmatch(text)
	if parts == nil {
		return 0, fmt.Errorf("%w: size %q is not a number with a unit such as 10g", ErrOption, text)
	}
	number, err := strconv.ParseFloat(parts[1], 64)
	if err != nil {
		return 0, fmt.Errorf("%w: size %q", ErrOption, text)
	}
	if parts[2] != "" {
		number *= math.Pow(1024, float64(1+strings.Index("kmgtp", strings.ToLower(parts[2]))))
	}
	if number >= math.MaxInt64 {
		return 0, fmt.Errorf("%w: size %q is too large", ErrOption, text)
	}
	return uint64(number), nil
}

var secret = regexp.MustCompile(`(?i)\b(pass|password|password2)=[^,]*`)

// mask hides passwords in what people and logs see.
func mask(text string) string { return secret.ReplaceAllString(text, "$1=********") }
