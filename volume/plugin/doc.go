// Package plugin speaks Docker's volume plugin protocol, version 1, in both directions
// (docker-layers-and-volumes, D.6 and B.9): Serve offers a volume.Driver to engines on a
// Unix socket, Client makes somebody else's plugin a volume.Driver.
//
// The protocol is HTTP: POST /VolumeDriver.Mount with a JSON object, or with no body at all
// for an empty one. An answer is a JSON object with status 200; an error is status 500 with
// {"Err": "text"}. Headers mean nothing.
package plugin
