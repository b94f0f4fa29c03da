"""All options of all commands as the page of the guide that `ldm help options` shows.

python scripts/options_page.py > ldmcli/guide/options.md
"""

from ldmcli.commands.options_page import options_page

if __name__ == "__main__":
    print(options_page().rstrip())
