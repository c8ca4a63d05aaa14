# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_rafty_agent_global_optspecs
    string join \n dir= settings= set= json h/help V/version
end

function __fish_rafty_agent_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_rafty_agent_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_rafty_agent_using_subcommand
    set -l cmd (__fish_rafty_agent_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -l dir -d 'The member\'s directory; by default rafty-agent in the user\'s data directory' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -l settings -d 'The settings file; by default /etc/rafty/agent.toml where there is one' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -l set -d 'Give one setting; `settings explain` shows all' -r
complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -l json -d 'Answer in JSON'
complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -s h -l help -d 'Print help'
complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -s V -l version -d 'Print version'
complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -f -a "join" -d 'Join a peer set as a device'
complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -f -a "up" -d 'Be a member until stopped: train, vote, and aggregate when it is this device\'s turn. Joins first when a token is set'
complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -f -a "status" -d 'Show what this member knows of the peer set'
complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -f -a "check" -d 'Look for what would keep this device from being a good member, and say how to mend it'
complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -f -a "leave" -d 'Leave the peer set for good'
complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -f -a "recover" -d 'Go on with this member alone when most voters are lost for good; it must be stopped'
complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -f -a "rejoin" -d 'Come back, under the same identity, to a set that was recovered without this member; it must be stopped'
complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -f -a "settings" -d 'Show the settings of this device'
complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -f -a "predict" -d 'Say what the newest model sees in a file: CSV, IDX, NumPy arrays, or a picture (PNG, JPEG, PGM)'
complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -f -a "provision" -d 'Take over what a card\'s boot partition says, as root at boot'
complete -c rafty-agent -n "__fish_rafty_agent_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand join" -l peer -d 'The address of the member that made the token; without it, it is looked for on the local network' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand join" -l listen -d 'The UDP address to listen on [default: port 7400 on all addresses]' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand join" -l advertise -d 'Where others reach this member, when that is not where it listens' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand join" -l data -d 'The training data: a folder or a file' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand join" -l dir -d 'The member\'s directory; by default rafty-agent in the user\'s data directory' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand join" -l settings -d 'The settings file; by default /etc/rafty/agent.toml where there is one' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand join" -l set -d 'Give one setting; `settings explain` shows all' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand join" -l json -d 'Answer in JSON'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand join" -s h -l help -d 'Print help'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand up" -l listen -d 'Listen on this UDP address from now on' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand up" -l advertise -d 'Let others reach this member here from now on' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand up" -l clients -d 'Serve clients on this address from now on, under the port number of --listen: 0.0.0.0 for all. From other machines they need TLS and a token of `rafty client create`' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand up" -l peer -d 'Look for the others here, too, while no leader is heard: after all addresses have changed' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand up" -l data -d 'Train on this data from now on: a folder or a file' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand up" -l dir -d 'The member\'s directory; by default rafty-agent in the user\'s data directory' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand up" -l settings -d 'The settings file; by default /etc/rafty/agent.toml where there is one' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand up" -l set -d 'Give one setting; `settings explain` shows all' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand up" -l quiet -d 'Tell only what does not work'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand up" -l moved -d 'The directory was moved here from another file system, and no other copy of it was used since'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand up" -l no-discovery -d 'Do not let newcomers find this member on the local network (mDNS), nor look for the others there'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand up" -l exit-with-parent -d 'End when standard input ends, so that no process outlives whoever started it'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand up" -l json -d 'Answer in JSON'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand up" -s h -l help -d 'Print help'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand status" -l dir -d 'The member\'s directory; by default rafty-agent in the user\'s data directory' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand status" -l settings -d 'The settings file; by default /etc/rafty/agent.toml where there is one' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand status" -l set -d 'Give one setting; `settings explain` shows all' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand status" -l json -d 'Answer in JSON'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand status" -s h -l help -d 'Print help'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand check" -l task -d 'A task to hold the data and the memory against; by default that of the newest model here' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand check" -l dir -d 'The member\'s directory; by default rafty-agent in the user\'s data directory' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand check" -l settings -d 'The settings file; by default /etc/rafty/agent.toml where there is one' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand check" -l set -d 'Give one setting; `settings explain` shows all' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand check" -l json -d 'Answer in JSON'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand check" -s h -l help -d 'Print help'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand leave" -l dir -d 'The member\'s directory; by default rafty-agent in the user\'s data directory' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand leave" -l settings -d 'The settings file; by default /etc/rafty/agent.toml where there is one' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand leave" -l set -d 'Give one setting; `settings explain` shows all' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand leave" -l json -d 'Answer in JSON'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand leave" -s h -l help -d 'Print help'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand recover" -l dir -d 'The member\'s directory; by default rafty-agent in the user\'s data directory' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand recover" -l settings -d 'The settings file; by default /etc/rafty/agent.toml where there is one' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand recover" -l set -d 'Give one setting; `settings explain` shows all' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand recover" -l yes -d 'Do not ask'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand recover" -l learner -d 'Recover from this member although it does not vote and its log may lack more'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand recover" -l json -d 'Answer in JSON'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand recover" -s h -l help -d 'Print help'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand rejoin" -l peer -d 'The address of a member of the recovered set, when it is not where it was' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand rejoin" -l dir -d 'The member\'s directory; by default rafty-agent in the user\'s data directory' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand rejoin" -l settings -d 'The settings file; by default /etc/rafty/agent.toml where there is one' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand rejoin" -l set -d 'Give one setting; `settings explain` shows all' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand rejoin" -l yes -d 'Do not ask'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand rejoin" -l abandon-branch -d 'Give up what was written in this member\'s own branch of the set'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand rejoin" -l json -d 'Answer in JSON'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand rejoin" -s h -l help -d 'Print help'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand settings; and not __fish_seen_subcommand_from explain help" -l dir -d 'The member\'s directory; by default rafty-agent in the user\'s data directory' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand settings; and not __fish_seen_subcommand_from explain help" -l settings -d 'The settings file; by default /etc/rafty/agent.toml where there is one' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand settings; and not __fish_seen_subcommand_from explain help" -l set -d 'Give one setting; `settings explain` shows all' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand settings; and not __fish_seen_subcommand_from explain help" -l json -d 'Answer in JSON'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand settings; and not __fish_seen_subcommand_from explain help" -s h -l help -d 'Print help'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand settings; and not __fish_seen_subcommand_from explain help" -f -a "explain" -d 'Show every setting, its value, and where that is from'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand settings; and not __fish_seen_subcommand_from explain help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand settings; and __fish_seen_subcommand_from explain" -l dir -d 'The member\'s directory; by default rafty-agent in the user\'s data directory' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand settings; and __fish_seen_subcommand_from explain" -l settings -d 'The settings file; by default /etc/rafty/agent.toml where there is one' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand settings; and __fish_seen_subcommand_from explain" -l set -d 'Give one setting; `settings explain` shows all' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand settings; and __fish_seen_subcommand_from explain" -l json -d 'Answer in JSON'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand settings; and __fish_seen_subcommand_from explain" -s h -l help -d 'Print help'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand settings; and __fish_seen_subcommand_from help" -f -a "explain" -d 'Show every setting, its value, and where that is from'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand settings; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand predict" -l model -d 'Another model than the newest of this member' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand predict" -l dir -d 'The member\'s directory; by default rafty-agent in the user\'s data directory' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand predict" -l settings -d 'The settings file; by default /etc/rafty/agent.toml where there is one' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand predict" -l set -d 'Give one setting; `settings explain` shows all' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand predict" -l json -d 'Answer in JSON'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand predict" -s h -l help -d 'Print help'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand provision" -l root -d 'Take this folder for the root of the file system' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand provision" -l dir -d 'The member\'s directory; by default rafty-agent in the user\'s data directory' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand provision" -l settings -d 'The settings file; by default /etc/rafty/agent.toml where there is one' -r -F
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand provision" -l set -d 'Give one setting; `settings explain` shows all' -r
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand provision" -l joined -d 'The device has joined: forget the token'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand provision" -l json -d 'Answer in JSON'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand provision" -s h -l help -d 'Print help'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand help; and not __fish_seen_subcommand_from join up status check leave recover rejoin settings predict provision help" -f -a "join" -d 'Join a peer set as a device'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand help; and not __fish_seen_subcommand_from join up status check leave recover rejoin settings predict provision help" -f -a "up" -d 'Be a member until stopped: train, vote, and aggregate when it is this device\'s turn. Joins first when a token is set'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand help; and not __fish_seen_subcommand_from join up status check leave recover rejoin settings predict provision help" -f -a "status" -d 'Show what this member knows of the peer set'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand help; and not __fish_seen_subcommand_from join up status check leave recover rejoin settings predict provision help" -f -a "check" -d 'Look for what would keep this device from being a good member, and say how to mend it'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand help; and not __fish_seen_subcommand_from join up status check leave recover rejoin settings predict provision help" -f -a "leave" -d 'Leave the peer set for good'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand help; and not __fish_seen_subcommand_from join up status check leave recover rejoin settings predict provision help" -f -a "recover" -d 'Go on with this member alone when most voters are lost for good; it must be stopped'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand help; and not __fish_seen_subcommand_from join up status check leave recover rejoin settings predict provision help" -f -a "rejoin" -d 'Come back, under the same identity, to a set that was recovered without this member; it must be stopped'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand help; and not __fish_seen_subcommand_from join up status check leave recover rejoin settings predict provision help" -f -a "settings" -d 'Show the settings of this device'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand help; and not __fish_seen_subcommand_from join up status check leave recover rejoin settings predict provision help" -f -a "predict" -d 'Say what the newest model sees in a file: CSV, IDX, NumPy arrays, or a picture (PNG, JPEG, PGM)'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand help; and not __fish_seen_subcommand_from join up status check leave recover rejoin settings predict provision help" -f -a "provision" -d 'Take over what a card\'s boot partition says, as root at boot'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand help; and not __fish_seen_subcommand_from join up status check leave recover rejoin settings predict provision help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rafty-agent -n "__fish_rafty_agent_using_subcommand help; and __fish_seen_subcommand_from settings" -f -a "explain" -d 'Show every setting, its value, and where that is from'
