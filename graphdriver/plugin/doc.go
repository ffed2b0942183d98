// Package plugin speaks Docker's graphdriver plugin protocol, both sides of it: a driver that
// lives in another process is a graphdriver.Driver here, and a driver of this program can be
// offered to other engines.
//
// The protocol is HTTP/1.1 over a Unix socket: a POST to /GraphDriver.<Method> with a JSON
// object, answered by one (docker-layers-and-volumes, B.9). Diff answers with a tar stream and
// ApplyDiff is sent one; neither side keeps more of it than a buffer.
//
// # What the protocol lacks
//
// Docker's drivers have one ID mapping for all layers, mount without options, and answer
// errors as texts. Requests and answers of this package carry what is missing in a member
// "Strata", which others pass over, and a server says in its capabilities that it reads it.
// What can not be said to a plugin that does not is an errdefs.ErrUnsupported, never left out in
// silence, but for the wish to mount read-only. Kinds of errors are then found by
// asking the plugin what exists.
//
// # Clients, servers, and who dies
//
// A client sends Init when it is opened. A server keeps its driver as long as Inits ask for the
// same home, so several processes can work on one plugin; its mount counts are theirs together.
// Cleanup releases the driver once no request runs, and the next request opens it
// again. A client of a server that was started anew sends its Init again. Nothing
// that was sent is sent twice, other than requests that the server refused unread.
//
// Every request has an end: one that can not connect gives up after ClientOptions.Retry, the
// answer has to come in time, and a stream has to move. A plugin that dies ends its requests at
// once.
package plugin
