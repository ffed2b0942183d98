package config

// kind is the TOML type that a key takes.
type kind int

const (
	kindString kind = iota
	kindBool
	kindStrings
	kindUint32
	kindMode
	kindStringMap
)

func (k kind) String() string {
	return [...]string{"a string", "a boolean", "an array of strings", "a number from 0 to 4294967295", "an octal number", "a table of strings"}[k]
}

// key is one row of the tables of on-disk format 8.2 to 8.4.
type key struct {
	name    string
	kind    kind
	initial any
	// note is shown by "config explain": why the key has no effect, or what its value stands for.
	note string
}

const (
	topTable     = "storage."
	optionsTable = "storage.options."
)

// schema returns all known keys. Defaults that depend on the user (the roots) are set by roots.go.
func schema() []key {
	keys := []key{
		{name: topTable + "driver", initial: ""},
		{name: topTable + "graphroot"},
		{name: topTable + "runroot"},
		{name: topTable + "rootless_storage_path", note: "deprecated: set graphroot"},
		{name: topTable + "imagestore", initial: ""},
		{name: topTable + "driver_priority", kind: kindStrings, initial: []string(nil)},
		{name: topTable + "transient_store", kind: kindBool, initial: false},

		{name: optionsTable + "additionalimagestores", kind: kindStrings, initial: []string(nil)},
		{name: optionsTable + "additionallayerstores", kind: kindStrings, initial: []string(nil)},
		{name: optionsTable + "imagestore", note: "has no effect here: set storage.imagestore"},
		{name: optionsTable + "root-auto-userns-user", initial: "", note: `empty stands for "containers"`},
		{name: optionsTable + "auto-userns-min-size", kind: kindUint32, initial: uint32(1024)},
		{name: optionsTable + "auto-userns-max-size", kind: kindUint32, initial: uint32(65536)},
		{name: optionsTable + "disable-volatile", kind: kindBool, initial: false},
		{name: optionsTable + "pull_options", kind: kindStringMap, initial: map[string]string(nil)},
		{name: optionsTable + "force_mask", kind: kindMode},
	}
	for _, k := range []string{"size", "inodes", "mount_program", "mountopt", "ignore_chown_errors", "skip_mount_home", "use_composefs"} {
		keys = append(keys, key{name: optionsTable + k})
	}
	for _, k := range []string{"remap-uids", "remap-gids", "remap-user", "remap-group"} {
		keys = append(keys, key{name: optionsTable + k, note: "only older engines act upon it"})
	}
	for _, t := range driverTables() {
		for _, k := range t.keys {
			keys = append(keys, key{name: optionsTable + t.driver + "." + k})
		}
	}
	for _, k := range []string{"sync", "max_layer_size", "max_compression_ratio", "max_entries", "max_depth", "max_header_size", "min_free_space"} {
		keys = append(keys, key{name: optionsTable + "strata." + k})
	}
	return keys
}

// driverTable is one [storage.options.DRIVER]; all of its values are strings.
type driverTable struct {
	driver string
	keys   []string
}

func driverTables() []driverTable {
	return []driverTable{
		{"overlay", []string{"mountopt", "mount_program", "ignore_chown_errors", "force_mask", "skip_mount_home", "use_composefs", "size", "inodes", "sync"}},
		{"vfs", []string{"ignore_chown_errors", "sync"}},
		{"btrfs", []string{"min_space", "size"}},
		{"zfs", []string{"fsname", "mountopt", "size"}},
	}
}

// ignoredTables were read by older engines; today everybody skips them without a word.
var ignoredTables = []string{optionsTable + "thinpool", optionsTable + "aufs", optionsTable + "windowsfilter"}
