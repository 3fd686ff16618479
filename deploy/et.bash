# Completion for et in bash: commands, their options as their help lists
# them, and the ids of your jobs.
_et() {
    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "$(et help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p')" -- "$word"))
    elif [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$(et "$command" --help 2>/dev/null | grep -oE -- '--[a-z_-]+' | sort -u)" -- "$word"))
    else
        case $command in
        status | logs | plot | wait | get | classify | schedule)
            COMPREPLY=($(compgen -W "$(et ps --all --json 2>/dev/null | sed -n 's/.*"_id": "\([0-9a-f]*\)".*/\1/p')" -- "$word")) ;;
        cancel | why | move)
            COMPREPLY=($(compgen -W "$(et ps --json 2>/dev/null | sed -n 's/.*"_id": "\([0-9a-f]*\)".*/\1/p')" -- "$word")) ;;
        esac
        [ "$command" = classify ] || [ "$command" = run ] || [ "${#COMPREPLY[@]}" -eq 0 ] && COMPREPLY+=($(compgen -f -- "$word"))
    fi
}
complete -o filenames -F _et et
