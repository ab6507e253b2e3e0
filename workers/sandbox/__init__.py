"""Runs foreign commands in isolated children.

    Sandbox ──frames──► launcher ──fork, confine, exec──► the command
    (worker process)    (one small single-threaded        (own folder, own user,
                         process beside it)                own limits, no network)

A worker process is large and has threads: forking it for every command would stop its event loop
for milliseconds and running Python code between fork and exec would not be safe. So each worker
keeps one small launcher, which forks itself; a command costs the worker's loop two frames.

    against                              by
    endless computing                    RLIMIT_CPU
    endless waiting                      wall clock, then SIGKILL
    memory                               RLIMIT_AS
    large files, many open ones          RLIMIT_FSIZE, RLIMIT_NOFILE
    fork bombs, daemons                  seccomp and RLIMIT_NPROC: a command has no children
    endless output                       64 KiB a stream are kept, then its pipe is closed
    reading the worker's secrets         empty environment, closed descriptors, another user (when
                                         the worker is root), landlock: only the readable roots
    writing anywhere                     landlock: only its own folder, deleted afterwards
    the network, sockets of servers      seccomp: no sockets
    privileges                           no_new_privs, no groups, no capabilities
    a worker that dies                   the launcher ends with it, its commands with the launcher
    a program nobody thought of          the allow-list of `programs`

The weakness: landlock, seccomp and no_new_privs are Linux's; elsewhere limits, environment, folder
and allow-list remain, and `Sandbox.missing_parts` says so. The total a command writes into its
folder is bounded only by its time and the size of one file. When the worker is not root, commands
run as its own user, and what that user may read below the readable roots, they may.
"""
