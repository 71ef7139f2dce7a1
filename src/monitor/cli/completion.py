"""``monitor completion``: scripts made of the parser of the commands."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from monitor.cli.commands import COMMANDS, Parser
from monitor.settings.schema import Settings


def run(args: argparse.Namespace, _settings: Settings) -> int:
    print({"bash": bash, "zsh": zsh, "fish": fish}[args.shell](), end="")
    return 0


def bash() -> str:
    """Return the script for bash: a case for the values of each option, and one for the options of each command."""
    cases = []
    for command, parser in _parsers():
        for action in parser.shown_actions():
            if action.option_strings and action.nargs != 0:
                names = "|".join(f'"{command} {name}"' for name in action.option_strings)
                cases.append(f"        {names}) COMPREPLY=({_values(action)}) ; return ;;")
    for command, parser in _parsers():
        words = [*_choices(parser), *parser.shown_options()]
        cases.append(f'        "{command} "*) {_reply(words)} ;;')
    commands = [command.name for command in COMMANDS]
    return "\n".join(
        [
            "_monitor() {",
            '    local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"',
            '    if [ "$COMP_CWORD" -eq 1 ]; then',
            f"        {_reply([*commands, '--help', '--version'])}",
            "        return",
            "    fi",
            '    case "${COMP_WORDS[1]} $previous" in',
            *cases,
            "    esac",
            "}",
            "complete -F _monitor monitor",
            "",
        ]
    )


def zsh() -> str:
    """Return the script for zsh, which can run that of bash."""
    return f"autoload -Uz compinit bashcompinit\ncompinit\nbashcompinit\n{bash()}"


def fish() -> str:
    """Return the script for fish."""
    lines = ["complete -c monitor -f"]
    lines += [
        f"complete -c monitor -n __fish_use_subcommand -a {command.name} -d {_quoted(command.summary)}"
        for command in COMMANDS
    ]
    for command, parser in _parsers():
        here = f"complete -c monitor -n '__fish_seen_subcommand_from {command}'"
        for action in parser.shown_actions():
            values = f" -a {_quoted(' '.join(map(str, action.choices)))}" if action.choices else ""
            if not action.option_strings:
                lines.append(f"{here}{values}")
                continue
            taking = "" if action.nargs == 0 else " -r -F" if action.type is Path else f" -x{values}"
            long = next(name for name in action.option_strings if name.startswith("--"))
            lines.append(f"{here} -l {long.removeprefix('--')}{taking} -d {_quoted(action.help or '')}")
    return "\n".join([*lines, ""])


def _parsers() -> Iterator[tuple[str, Parser]]:
    for command in COMMANDS:
        command.arguments(parser := Parser(prog=f"monitor {command.name}"))
        yield command.name, parser


def _choices(parser: Parser) -> list[str]:
    return [
        str(choice) for action in parser.shown_actions() if not action.option_strings for choice in action.choices or ()
    ]


def _values(action: argparse.Action) -> str:
    if action.type is Path:
        return '$(compgen -d -- "$current")'
    return f'$(compgen -W "{" ".join(map(str, action.choices or ()))}" -- "$current")'


def _reply(words: list[str]) -> str:
    return f'COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$current"))'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
