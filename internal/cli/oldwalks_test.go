package cli

// walks are the parts, by chapter of the reference.
func walks() []walk {
	return []walk{
		{name: "1 grammar", lines: `
			create-layer -i base -n x_y
			layer base -j
			layer -- base
			layer -- -j
			-- layer base
			layer -
			-graph x layers
			--debug=false layers
			--debug --debug=false layers
			layers --debug=false
			layers -D=false
			create-layer -i=short
			create-layer --id="quoted"
			create-layer --id='single'
			create-layer -i -j
			create-layer -ibase
			create-layer --id
			create-layer -i
			layers --json=maybe
			layers -j=T
			layers --json=False
			layers --json=true
			exists -lq base
			exists -ql base
			exists -qz base
			mount -ro base
			create-layer -n a1 -n a2 -n a1 -i names
			create-layer -i first -i last
			get-names names
			layer -=x base
			layer --foo base
			layer -z base
			layer
			status a b
			changes a b c
			nope
			nope --help
			layers --help
			layers -h
			layer -h
			exists -q=false base
			delete-layer short quoted single -j
			wipe`},
		{name: "1.1 before the verb", short: true, lines: `
			--foo layers
			-z layers
			-Dz layers
			-g
			--graph
			-s
			--debug=maybe layers
			bare: --foo
			bare: -z`},
		{name: "2.1 positions", short: true, lines: `
			bare: -g SIDE/graph -R SIDE/run -s vfs create-layer -i one
			bare: layers -g SIDE/graph -R SIDE/run -s vfs
			bare: layers -g SIDE/graph -R SIDE/run
			bare: -g SIDE/nothing -R SIDE/run layers -g SIDE/graph -s vfs
			bare: -g SIDE/nothing -g SIDE/graph -R SIDE/run -s vfs layers
			bare: --graph=SIDE/graph --run=SIDE/run --storage-driver=vfs layers
			bare: -s overlay2 -s vfs -g SIDE/graph -R SIDE/run layers
			bare: --storage-opt vfs.nothing=1 -g SIDE/graph -R SIDE/run -s vfs layers
			bare: --storage-opt a=b layers
			bare: -g SIDE/graph -R SIDE/run -s nope layers
			bare: layers -g SIDE/graph -R SIDE/run -s nope
			bare: -g SIDE/graph -R SIDE/run -s vfs wipe`},
		{name: "2.2 configuration that is missing", env: []string{"CONTAINERS_STORAGE_CONF=DIR/missing.conf"}, lines: `
			bare: -g SIDE/graph -R SIDE/run -s vfs layers`},
		{name: "2.2 driver from the environment", env: []string{"CONTAINERS_STORAGE_CONF=DIR/vfs.conf", "STORAGE_DRIVER=vfs"}, lines: `
			bare: create-layer -i lay -g SIDE/graph -R SIDE/run
			bare: layers -g SIDE/graph -R SIDE/run
			bare: wipe -g SIDE/graph -R SIDE/run
			bare: status -j -g SIDE/graph -R SIDE/run`},
		{name: "2.2 unknown driver from the environment", env: []string{"CONTAINERS_STORAGE_CONF=DIR/vfs.conf", "STORAGE_DRIVER=nope"}, lines: `
			bare: layers -g SIDE/graph -R SIDE/run`},
		{name: "2.2 options from the environment", env: []string{"CONTAINERS_STORAGE_CONF=DIR/vfs.conf", "STORAGE_OPTS=vfs.ignore_chown_errors=true"}, lines: `
			bare: status -j -g SIDE/graph -R SIDE/run
			bare: layers -g SIDE/graph -R SIDE/run --storage-opt vfs.nothing=2`},
		{name: "3.4 names and prefixes", lines: `
			create-layer -i abcdef
			create-layer -i abcxyz
			create-layer -i other -n abcde
			layer abc
			layer abcd
			layer abcde
			layer abcx
			get-names abcd
			create-image -i same abcdef
			create-container -i same same
			create-layer -i same
			get-names same
			set-metadata -m layer same
			metadata same
			mounted same
			delete same
			exists same
			exists -l same
			exists -i same
			exists -c same
			metadata same
			delete same
			metadata same
			delete same
			delete same
			layer ''
			get-names ''
			wipe`},
		{name: "5.1 creating", overlay: true, lines: `
			create-layer -i p
			create-layer -i k p
			create-layer -i l1 -l label p
			layer -j l1
			create-layer -r -i ro p
			create-layer -i j1 -j -n n1 p
			create-layer -i bad nope
			create-layer -i p
			create-layer -n n1
			createlayer -i alias
			create-image -i i1 -n app -m meta -d sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef k
			create-image -f DIR/text -m ignored -i i2
			metadata i2
			metadata -q i2
			image i1
			image -j i1
			create-image -n app
			create-image -i i1
			create-image -d xx
			create-image -d sha256:12
			create-image -d md9:12
			create-image -i i9 nope
			create-container -i c1 -n web -n www -m meta i1
			create-container -f DIR/text -i c2 app
			create-container -f DIR/missing i1
			create-container -i c1 i1
			create-container -n web i1
			create-container nope
			create-container --volatile -i c3 ''
			container -j c1
			container c1
			create-layer web
			import-layer -f DIR/tree.tar -i t1
			import-layer -i t2 -n tt p <tree.tar
			import-layer -i t3 t1 <more.tar
			import-layer -i t4 <empty
			import-layer -i t5 <zeros
			import-layer -f DIR/missing -i t9
			layer -j t1
			layer t2
			changes t3
			changes t1
			diffsize t1
			diffsize t3
			diff -u t3
			diff t1
			diff -u -f DIR/out t1
			diff -f DIR/out/no t1
			layers -t
			layers`},
		{name: "5.2 maps", lines: `
			create-layer --uidmap 0:1000 -i a
			create-layer --uidmap 0,1000,10 -i a
			create-layer --gidmap 0:1000:x -i a
			create-layer --uidmap 0:-1:1 -i a
			create-layer --uidmap 0:4294967296:1 -i a
			create-layer --hostuidmap --uidmap 0:0:1 -i a
			create-layer --hostgidmap --gidmap 0:0:1 -i a
			create-layer --hostuidmap --hostgidmap -i host
			layer host
			create-layer --subuidmap bob -i a
			create-layer --subgidmap bob -i a
			vfs: create-layer --uidmap 0:5:1 --uidmap 0:1000:10:10:5000:5 --gidmap 0:1000:15 -i m
			vfs: layer m
			vfs: layer -j m
			vfs: create-layer -i child m
			vfs: layer child
			vfs: create-container --uidmap 0:1000:10 --gidmap 0:1000:10 -i c ''
			vfs: container -j c`},
		{name: "5.3 listing", overlay: true, lines: `
			layers
			layers -t
			images
			images -j
			images -q
			containers
			containers -j
			create-layer -i a -n one -n two
			create-layer -i b a
			create-layer -i c b
			create-layer -i d a
			create-layer -i lone
			create-image -i i1 -n app -n app2 c
			create-image -i i2 c
			create-container -i ctr -n web -n www i1
			layers
			layers -t
			layers -t -j
			mount b
			mount lone
			layers -t
			unmount b lone
			images
			images -q
			images -j
			containers
			containers -j
			delete a
			layers -t
			images-by-digest xx
			images-by-digest -j sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
			images-by-digest
			layers extra
			containers extra`},
		{name: "5.4 examining", short: true, lines: `
			create-layer -i a
			import-layer -i t -f DIR/tree.tar a
			create-image -i i -n app t
			set-image-data -f DIR/text i one
			set-image-data -f DIR/bytes i two
			image i
			image -j i
			image app nope
			image nope
			image -j nope
			create-container -i c -n web app
			set-container-data -f DIR/text c item
			container c
			container -j c nope
			container nope
			exists a nope
			exists a
			exists -q a
			exists -q nope
			exists -l -i a
			exists -j a nope i
			metadata a
			metadata nope
			metadata -q a
			metadata -j a i
			get-names nope
			get-names -j a
			get-names web
			list-layer-data a
			list-image-data i
			list-image-data -j i
			list-container-data -j c
			list-layer-data -j a
			list-image-data nope
			list-container-data nope
			list-layer-data nope
			mount a c
			layer-parent-owners a
			layer-parent-owners -j a
			container-parent-owners c
			container-parent-owners -j c
			layer-parent-owners nope
			container-parent-owners nope
			unmount a c`},
		{name: "5.5 data", lines: `
			create-layer -i lay
			create-image -i i lay
			create-container -i c -n web i
			set-layer-data lay k <text
			set-layer-data -f DIR/bytes lay k2
			get-layer-data lay k
			get-layer-data -f SIDE/out lay k2
			get-layer-data lay nope
			get-layer-data nope k
			set-layer-data lay '' <text
			set-image-data i k <text
			set-image-data i k <bytes
			get-image-data i k
			get-image-data-size i k
			get-image-data-digest i k
			get-image-data-size i nope
			get-image-data-digest i nope
			get-image-data nope k
			get-image-data i nope
			get-image-data -f SIDE/out2 i k
			set-image-data i '' <text
			set-image-data i manifest <text
			set-image-data i manifest-two <bytes
			image i
			image -j i
			images
			set-container-data c k <text
			get-container-data c k
			get-container-data c nope
			get-container-data nope k
			get-container-data-size c k
			get-container-data-digest c k
			get-container-data-digest c nope
			get-container-data-size c nope
			get-container-data-size nope k
			set-container-data c '' <text
			set-container-data -f DIR/missing c k
			getlayerdata lay k
			getimagedata i k
			getcontainerdata c k
			getimagedatasize i k
			getimagedatadigest i k
			getcontainerdatasize c k
			getcontainerdatadigest c k
			setlayerdata lay k3 <text
			listlayerdata lay
			listimagedata i
			listcontainerdata c
			get-container-dir c
			get-container-run-dir c
			getcontainerdir c
			getcontainerrundir c
			get-container-dir nope
			container c
			set-metadata -m text web
			set-metadata -f DIR/text i
			set-metadata lay
			set-metadata -m '' lay
			set-metadata -m x nope
			setmetadata -m y lay
			metadata web i lay`},
		{name: "5.6 names", lines: `
			create-layer -i lay -n a
			create-layer -i m -n b
			set-names -n c -n d lay
			get-names lay
			set-names -n b lay
			get-names m
			get-names lay
			set-names -j lay
			get-names -j lay
			set-names -n x nope
			add-names -n x nope
			add-names lay
			create-layer -i empty
			add-names -n first empty
			get-names empty
			addnames -j -n x m
			setnames -n y m
			getnames m
			create-image -i i -n old
			set-names -n new i
			image i`},
		{name: "5.7 mounting", overlay: true, lines: `
			create-layer -i lay
			create-image -i i -n app lay
			create-container -i c -n web i
			mount lay
			mount lay
			mounted lay
			unmount lay
			mounted lay
			unmount lay
			mounted lay
			unmount lay
			unmount -f lay
			mount -j lay c
			mounted -j lay c nope
			unmount -j lay nope
			unmount c
			mount web nope lay
			mount i
			mount app
			mount --option nosuid lay
			mount -o nosuid lay
			umount -f lay
			unmount web
			unmount /tmp
			mounted /tmp
			shutdown
			mount lay
			shutdown
			shutdown -j
			mounted lay
			unmount -f lay
			shutdown
			shutdown -j`},
		{name: "5.8 deleting", overlay: true, lines: `
			create-layer -i a
			create-layer -i b a
			create-layer -i c b
			create-layer -i other a
			create-image -i i -n app c
			create-image -i j other
			create-container -i k -n web i
			delete-layer a
			delete-layer -j a b
			delete-layer c
			delete-layer nope web
			delete-image i
			delete-image -j i
			delete-image nope
			delete-container nope
			delete-container -j nope
			delete nope
			delete -j nope
			delete-container web
			delete-image -t i
			delete-image -t -j i
			delete-image -j i
			layers
			deleteimage j
			layers
			delete-layer a
			create-layer -i p
			create-layer -i q p
			delete p
			layers -t
			delete -j q
			create-container -i z ''
			mount z
			delete z
			create-layer -i w
			mount w
			delete-layer w
			deletelayer w
			deletecontainer w
			create-layer -i w
			mount w
			wipe
			wipe -j
			layers`},
		{name: "5.9 diffs", overlay: true, lines: `
			import-layer -i t -f DIR/tree.tar
			import-layer -i u -f DIR/more.tar t
			changes u
			overlay: changes -j u
			changes u t
			changes nope
			diffsize u
			diff-size u t
			diffsize nope
			diff u
			diff -u u
			diff u t
			diff -x u
			diff -b u
			diff --bz2 u
			diff nope
			create-layer -i v
			apply-diff -f DIR/tree.tar v
			layer -j v
			applydiff v <zeros
			layer -j v
			applydiff nope <tree.tar
			applydiff -f DIR/missing v
			applydiff v x
			changes v
			create-layer -i s
			copy DIR/sub/inner s:/deep/inner
			copy DIR/sub s:/tree
			copy s:/tree/inner SIDE/back
			copy s:/tree s:/again
			copy DIR/text s:/tree
			copy DIR/missing s:/x
			copy s:/missing s:/x
			copy DIR/text nope:/x
			copy nope:/x s:/x
			changes s`},
		{name: "5.10 store", lines: `
			vfs: status
			vfs: status -j
			create-layer -i a
			mount a
			shutdown -j
			unmount a
			shutdown`},
		{name: "7.1 additional stores", overlay: true, lines: `
			bare: -g SIDE/ro -R SIDE/ror -s DRIVER create-layer -i rolay -n roname
			bare: -g SIDE/ro -R SIDE/ror -s DRIVER create-image -i roimg -n roapp rolay
			bare: -g SIDE/ro -R SIDE/ror -s DRIVER shutdown
			--storage-opt DRIVER.imagestore=SIDE/ro layers
			--storage-opt .imagestore=SIDE/ro images
			--storage-opt DRIVER.imagestore=SIDE/ro layer rolay
			--storage-opt DRIVER.imagestore=SIDE/ro image roapp
			vfs: --storage-opt DRIVER.imagestore=SIDE/missing layers
			--storage-opt DRIVER.imagestore=SIDE/ro create-layer -i up rolay
			--storage-opt DRIVER.imagestore=SIDE/ro create-container -i c roapp
			--storage-opt DRIVER.imagestore=SIDE/ro layers
			--storage-opt DRIVER.imagestore=SIDE/ro mount rolay
			--storage-opt DRIVER.imagestore=SIDE/ro delete-layer rolay
			--storage-opt DRIVER.imagestore=SIDE/ro delete-image roimg
			--storage-opt DRIVER.imagestore=SIDE/ro delete rolay
			--storage-opt DRIVER.imagestore=SIDE/ro set-metadata -m x rolay
			--storage-opt DRIVER.imagestore=SIDE/ro set-layer-data rolay k <text
			--storage-opt DRIVER.imagestore=SIDE/ro set-names -n x rolay
			--storage-opt DRIVER.imagestore=SIDE/ro create-layer -i rolay
			--storage-opt DRIVER.imagestore=SIDE/ro layers
			--storage-opt DRIVER.imagestore=SIDE/ro wipe
			--storage-opt DRIVER.imagestore=SIDE/ro layers
			bare: -g SIDE/ro -R SIDE/ror -s DRIVER wipe
			bare: -g SIDE/ro -R SIDE/ror -s DRIVER shutdown`},
	}
}
