"""What completes `gpsseg fine<TAB>` and `gpsseg finetune --ba<TAB>` in a shell.

The commands stand in the script; what completes a command's options is tyro's, and is asked of the
command itself at its first <TAB>, so that it is always that of the installed version.
"""

from __future__ import annotations

from collections.abc import Mapping

from gpsseg.commands import COMMANDS
from gpsseg.errors import UserError, look_up

# tyro's script also registers itself for the two words of "gpsseg finetune", which are not its own.
# It answers with files where an option takes any text; bash itself knows better how to write these.
BASH = r"""_gpsseg() {
  local command=${COMP_WORDS[1]} commands=" @words@ "
  if [ "$COMP_CWORD" -lt 2 ]; then
    COMPREPLY=($(compgen -W "$commands --help --version --completion" -- "$command"))
    return
  fi
  if [ "$command" = --completion ]; then
    COMPREPLY=($(compgen -W "@shells@" -- "${COMP_WORDS[COMP_CWORD]}"))
    return
  fi
  case $commands in *" $command "*) ;; *) return ;; esac
  if ! declare -F "_tyro_gpsseg_$command" > /dev/null; then
    eval "$("${COMP_WORDS[0]/#\~/$HOME}" "$command" --tyro-print-completion bash 2> /dev/null |
      sed 's/^ *complete -F .*/:/')"
    declare -F "_tyro_gpsseg_$command" > /dev/null || return
  fi
  local last=${COMP_WORDS[COMP_CWORD-1]} typed=${COMP_WORDS[COMP_CWORD]}
  COMP_WORDS=("gpsseg $command" "${COMP_WORDS[@]:2}")
  COMP_CWORD=$((COMP_CWORD - 1))
  "_tyro_gpsseg_$command"
  case $last/${COMPREPLY[0]} in
    -*/-*) ;;
    -*) compgen -f -- "$typed" > /dev/null && COMPREPLY=() ;;
  esac
}
complete -o bashdefault -o default -F _gpsseg gpsseg
"""

ZSH = r"""(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_gpsseg() {
  local -a commands=(@described@)
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  if [[ $command == --completion ]]; then
    compadd @shells@
    return
  fi
  (( ${commands[(I)$command:*]} )) || return
  local program=${~words[1]}
  words=("gpsseg $command" "${(@)words[3,-1]}")
  (( CURRENT-- ))
  if (( $+functions[_tyro_gpsseg_$command] )); then
    _tyro_gpsseg_$command
  else
    eval "$($program $command --tyro-print-completion zsh 2> /dev/null)"
  fi
}
compdef _gpsseg gpsseg
"""
SHELLS: Mapping[str, str] = {"bash": BASH, "zsh": ZSH}


def completion(shell: str) -> str:
    """The script that a shell is to evaluate.

    Raises:
        UserError: it is none that we have one for.
    """
    if not shell:
        raise UserError(f"--completion takes the name of a shell: {' or '.join(SHELLS)}.")
    described = [f"'{name}:{_quoted(purpose)}'" for name, purpose in COMMANDS.items()]
    return (
        look_up(shell, SHELLS, "shell")
        .replace("@words@", " ".join(COMMANDS))
        .replace("@shells@", " ".join(SHELLS))
        .replace("@described@", " ".join(described))
    )


def _quoted(purpose: str) -> str:
    """A purpose between single quotes, where zsh takes a colon for the end of the name."""
    return purpose.replace("'", "'\\''").replace(":", "\\:")
