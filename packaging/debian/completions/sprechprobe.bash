# Completion of sprechprobe and sprechprobe-fleet for bash. The commands are those
# that the program itself lists.
_@NAME@() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W '@COMMANDS@' -- "$cur")
		return
	fi
	case $prev in
	--config | --report | --ca | --key | --creds | --nats-config) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	--data | --keys) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	--lang) mapfile -t COMPREPLY < <(compgen -W 'de en' -- "$cur"); return ;;
	--format) mapfile -t COMPREPLY < <(compgen -W 'text json' -- "$cur"); return ;;
	--page) mapfile -t COMPREPLY < <(compgen -W 'never unclaimed always' -- "$cur"); return ;;
	--profile) mapfile -t COMPREPLY < <(compgen -W 'webprax zpp-hd' -- "$cur"); return ;;
	esac
	local words
	case $command in
	@CASES@
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _@NAME@ @PROGRAM@
