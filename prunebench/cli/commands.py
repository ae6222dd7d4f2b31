"""The group of all commands: ours, and those that plugins add, each loaded when it is called."""

from __future__ import annotations

from typing import Any

import click

from ..errors import UserError


class Commands(click.Group):
    """Our commands and those that plugins add; a plugin's is loaded when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *sorted(_plugin_commands())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in _plugin_commands():
            return own
        return _plugin_commands()[cmd_name].function()

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        from ..spec import near

        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            raise UserError(f"there is no command {args[0]!r}{near(args[0], self.list_commands(ctx))}: see --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        plugins = _plugin_commands()
        rows = [(n, self.commands[n].get_short_help_str(70)) for n in super().list_commands(ctx)]
        rows += [(name, plugins[name].record.help) for name in sorted(plugins)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _plugin_commands() -> dict[str, Any]:
    from ..registry import installed

    return {entry.record.name: entry for entry in installed().entries["command"].values()}
