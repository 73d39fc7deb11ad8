/**
 * Completion for each shell, as a script that stands by itself: a TAB starts no rrep. What is no option and
 * no command is a file, which the shell knows best.
 */
import type { CommandSpec, OptionSpec } from './spec.js'

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

export function completionScript(shell: Shell, commands: readonly CommandSpec[]): string {
  if (shell === 'bash') return bash(commands)
  return shell === 'zsh' ? zsh(commands) : fish(commands)
}

function topOf(commands: readonly CommandSpec[]): readonly CommandSpec[] {
  return commands.filter(({ name }) => !name.includes(' '))
}

function within(commands: readonly CommandSpec[], name: string): readonly CommandSpec[] {
  return commands.filter((each) => each.name.startsWith(`${name} `))
}

function lastWord(name: string): string {
  return name.slice(name.indexOf(' ') + 1)
}

function bash(commands: readonly CommandSpec[]): string {
  const words = topOf(commands).map(({ name }) => name)
  const nested = words.filter((name) => within(commands, name).length > 0)
  const choices = commands.flatMap(({ name, options }) =>
    options
      .filter((option) => option.choices.length > 0)
      .flatMap((option) =>
        option.names.map(
          (each) => `    '${name} ${each}') reply '${option.choices.join(' ')}'; return ;;`,
        ),
      ),
  )
  const flags = commands.map(({ name, options }) => {
    const all = options.flatMap(({ names }) => names).join(' ')
    return `    '${name}') reply '${all}' ;;`
  })
  const inner = nested.map((name) => {
    const own = within(commands, name).map((each) => lastWord(each.name))
    return `    ${name}) reply '${own.join(' ')}' ;;`
  })
  return `# rrep completion bash > /etc/bash_completion.d/rrep, or: source <(rrep completion bash)
_rrep() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command= word i
  reply() { COMPREPLY=($(compgen -W "$1" -- "$cur")); }
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    [[ $word == -* ]] && continue
    if [[ -z $command ]]; then command=$word
    else
      case "$command $word" in
        ${nested.flatMap((name) => within(commands, name).map((each) => `'${each.name}'`)).join('|') || "''"}) command="$command $word" ;;
      esac
      break
    fi
  done
  case "$command $prev" in
${choices.join('\n')}
  esac
  if [[ $cur == -* ]]; then
    case "$command" in
${flags.join('\n')}
    esac
    return
  fi
  if [[ -z $command ]]; then reply '${words.join(' ')}'; return; fi
  case "$command" in
${inner.join('\n')}
  esac
}
complete -o bashdefault -o default -F _rrep rrep
`
}

function zsh(commands: readonly CommandSpec[]): string {
  const described = (each: readonly CommandSpec[]): string =>
    each
      .map(({ name, description }) => `'${quoted(lastWord(name))}:${quoted(description)}'`)
      .join(' ')
  const cases = topOf(commands).map(({ name, options }) => {
    const own = within(commands, name)
    const rows = options.flatMap(zshOption)
    if (own.length === 0)
      return `    ${name}) _arguments ${[...rows, "'*:file:_files'"].join(' ')} ;;`
    const inner = own.map((each) => {
      const all = [...each.options.flatMap(zshOption), "'*:file:_files'"]
      return `        ${lastWord(each.name)}) shift words; (( CURRENT-- )); _arguments ${all.join(' ')}; return ;;`
    })
    return `    ${name})
      case $words[2] in
${inner.join('\n')}
      esac
      if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
        local -a inner; inner=(${described(own)}); _describe command inner
      fi
      _arguments ${[...rows, "'*:file:_files'"].join(' ')} ;;`
  })
  return `#compdef rrep
# rrep completion zsh > "\${fpath[1]}/_rrep"
_rrep() {
  if (( CURRENT == 2 )); then
    local -a commands; commands=(${described(topOf(commands))})
    _describe command commands
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
${cases.join('\n')}
  esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _rrep "$@"; else compdef _rrep rrep; fi
`
}

function zshOption({ names, description, takesValue, choices }: OptionSpec): readonly string[] {
  const text = description.replaceAll(/[[\]:]/g, ' ')
  const value =
    choices.length > 0 ? `:value:(${choices.join(' ')})` : takesValue ? ':value:_files' : ''
  return names.map((name) => `'${quoted(`${name}[${text}]${value}`)}'`)
}

function fish(commands: readonly CommandSpec[]): string {
  const lines = ['# rrep completion fish > ~/.config/fish/completions/rrep.fish']
  const say = (condition: string, rest: string): void => {
    lines.push(`complete -c rrep -n '${condition}' ${rest}`)
  }
  for (const { name, description, options } of commands) {
    const [outer, inner] = name.split(' ')
    const seen = `__fish_seen_subcommand_from ${outer!}`
    const siblings = within(commands, outer!).map((each) => lastWord(each.name))
    const isIn = `${seen}; and __fish_seen_subcommand_from ${inner ?? ''}`
    const isOuter =
      siblings.length === 0
        ? seen
        : `${seen}; and not __fish_seen_subcommand_from ${siblings.join(' ')}`
    if (inner === undefined)
      say('__fish_use_subcommand', `-f -a ${outer!} -d '${quoted(description)}'`)
    else say(isOuter, `-a ${inner} -d '${quoted(description)}'`)
    for (const option of options) say(inner === undefined ? isOuter : isIn, fishOption(option))
  }
  return `${lines.join('\n')}\n`
}

function fishOption({ names, description, takesValue, choices }: OptionSpec): string {
  const parts = names.map((name) =>
    name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`,
  )
  if (choices.length > 0) parts.push(`-x -a '${choices.join(' ')}'`)
  else if (takesValue) parts.push('-r')
  return `${parts.join(' ')} -d '${quoted(description)}'`
}

/** Inside of single quotes, for all three. */
function quoted(text: string): string {
  return text.replaceAll("'", '’')
}
