# Owns one PostgreSQL server and the directory it lives in. It outlives the
# process that started it by as long as cleaning up takes: the end of standard
# input, however it comes about, stops the server and removes the directory.
#
# usage: psycotest-guard BINDIR TEMPDIR INITDB-ARGUMENT…
# Commands are lines on standard input, answers lines on standard output.
unset PSYCOTEST_GUARD
bin=$1 temp=$2
shift 2
trap '' HUP INT TERM PIPE # Ctrl-C is for the owner; and answers nobody reads must not end the clean-up
dir=$(mktemp -d "$temp/psyco.XXXXXX") || exit
chmod 755 "$dir" # the socket is for every user; the data directory in it stays private
mkfifo "$dir/pid"
echo "dir $dir"

# run runs a program and reports its start and its end. The file "running"
# exists as long as the process does, so that no signal ever goes to a reused
# process id.
run() {
	: >"$dir/running"
	(
		"$@" </dev/null >>"$dir/log" 2>&1 &
		echo $! >"$dir/pid"
		wait $!
		status=$?
		rm -f "$dir/running"
		echo "exited $status"
	) &
	waiter=$!
	read -r pid <"$dir/pid"
	echo "started $pid"
}

# stop repeats the signal, because a program that has only just been started
# ignores it.
stop() {
	while [ -e "$dir/running" ] && kill -s "$1" "$pid" 2>/dev/null; do
		sleep 0.02
	done
	[ -z "$waiter" ] || wait "$waiter"
}

waiter='' end=''
while read -r command argument; do
	case $command in
	initdb)
		end=KILL # it would go on to the end of a step first
		run "$bin/initdb" -D "$dir/data" "$@"
		;;
	postgres)
		end=QUIT
		run "$bin/postgres" -D "$dir/data"
		;;
	stop)
		stop "$argument"
		echo stopped
		;;
	esac
done

stop "$end"
# A server in this directory that is not ours: initdb's, which writes its pid
# with a minus sign, or one that pg_ctl started.
if [ "$end" != QUIT ] && read -r other <"$dir/data/postmaster.pid"; then
	kill -s QUIT "${other#-}"
fi 2>/dev/null
# A postmaster that was killed could not give back its shared memory.
if [ -e "$dir/data/postmaster.pid" ]; then
	ipcrm -m "$(sed -n '7s/^ *[0-9]* *//p' "$dir/data/postmaster.pid")" 2>/dev/null
fi
tries=100 # the backends of a killed postmaster may still be writing
until rm -rf "$dir" 2>/dev/null || [ "$tries" -eq 0 ]; do
	tries=$((tries - 1))
	sleep 0.05
done
