// Package ontop is the volume driver that lays a volume on top of an existing directory,
// or of an image: users see the base's content, may write, and the base is never changed
// (docker-layers-and-volumes, D).
//
// The state folder has a folder for each volume, as the program docker-on-top keeps them:
//
//	<root>/<volume>/metadata.json          the base, and what else Create was told
//	                upper/                 the changes
//	                activemounts/<id>      one record for each user, with a count
//	                workdir/ mountpoint/   only while mounted
//
// Everything hangs on one rule: a record guarantees that somebody uses the volume, and no
// record that nobody does; what is mounted guarantees nothing about users. So the way in
// is mount, then record, and the way out erase the record, then unmount. Wherever a
// process dies, the worst that stays is an overlay that nobody uses.
//
// All of it happens under an exclusive flock(2) on activemounts, until the work is done,
// so several processes can serve one state folder. New volumes are made under a name with
// a dot and renamed; what is deleted is renamed first, and deleted in the background.
package ontop
