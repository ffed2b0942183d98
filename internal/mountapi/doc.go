// Package mountapi makes the few kinds of mount that strata needs: overlays, private
// bind mounts, and ID-shifted views of directories.
//
// An overlay is a value (Overlay) that can be built and compared without any
// privilege; a Mounter hands it to the kernel. There are two ways to do that:
//
//   - the mount API of file descriptors, fsopen(2), fsconfig(2), fsmount(2) and
//     move_mount(2), with one "lowerdir+" for each layer: no limit on the length of
//     paths, and the result can stay detached, visible through its descriptor only.
//     Overlays take part in it since Linux 6.7;
//   - mount(2) with all options in one page of text. What does not fit, or has
//     characters that mean something there, is handed over as numbers of open
//     descriptors instead, so 500 layers work at any path length here too.
//
// The choice is made at run time, by trying; API forces one, for tests.
package mountapi
