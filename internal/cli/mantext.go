package cli

// manualText is the description of the whole command.
const manualText = `strata keeps images as stacks of layers, gives each container a writable layer on top, and turns any layer back into the exact tar that it came from. It opens the store of Podman, Buildah, Skopeo and CRI-O in place, beside them and under the same locks.

Options may stand anywhere. Results go to standard output, everything else to standard error: tables when standard output is a terminal, plain lines otherwise, JSON with --json. Objects are named by ID, by name, or by the beginning of an ID that no other has.

Called through a link named containers-storage the program answers as that command does, for scripts.`

// environment lists the variables that have an effect.
func environment() [][2]string {
	return [][2]string{
		{"CONTAINERS_STORAGE_CONF", "The only configuration file to read."},
		{"CONTAINERS_STORAGE_CONF_OVERRIDE", "A configuration file to read last."},
		{"STORAGE_DRIVER", "Storage driver, over the configured one."},
		{"STORAGE_OPTS", "Driver options separated by commas, instead of the configured ones."},
		{"TMPDIR", "Directory for large temporary files; otherwise /var/tmp."},
		{"XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_RUNTIME_DIR, HOME", "Where an ordinary user's configuration and store are."},
	}
}

// classicDifferences are the places where the classic manner leaves the old
// command's way on purpose.
func classicDifferences() []string {
	return []string{
		"Empty names are refused, and so are IDs with a slash, a line end or a dot in front, which could lead out of the store.",
		"--transient-store, --image-store and --unshare count in front of the verb too; they were lost there.",
		"An image store that is the graph root is refused; the old command hung.",
		"State of the vfs driver alone in a graph root is used again when no driver is named.",
		"config FILE reads the file and fails when it is missing.",
		"get-image-dir and get-image-run-dir take names for what they mean and refuse unknown images.",
		"set-names with more than one argument warns: options end at the first argument, so names behind it were meant.",
		"exists and the delete verbs answer in the order of the arguments.",
	}
}

// modernDifferences are the places where the modern manner differs from the classic one.
func modernDifferences() []string {
	return []string{
		"Options may follow arguments, so nothing behind an argument is ignored; -- ends them. Too many arguments are an error for every command.",
		"Exit codes tell the kinds of failure apart; mistakes in options are 2, not 125.",
		"status, version and the layers that delete-image removes go to standard output.",
		"layer, image, container, metadata and the parent-owners commands say on standard error what they did not find.",
		"mount prints nothing on standard output for what failed, and --opt has an effect.",
		"exists with --layer, --image or --container answers for that kind alone.",
		"shutdown --force succeeds when it could unmount everything.",
		"Images may be named the short way: debian for docker.io/library/debian:latest. New images get the tag latest and the domain localhost when the name has none.",
		"JSON comes alone on standard output, lists are never null, and objects have derived keys: chain-id, read-only, mount-count, mount-path, size.",
		"A file that a command writes appears under its name when it is complete, and not at all after a failure.",
	}
}
