"""Licences of the picture sets, in COCO's form and as the attribution text that travels with the data. What was left out: README.md."""

LICENCES = [
    {"id": 1, "name": "Apache License 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
    {"id": 2, "name": "Creative Commons Attribution 4.0", "url": "https://creativecommons.org/licenses/by/4.0/"},
    {"id": 3, "name": "MIT License", "url": "https://opensource.org/license/mit"},
]

ATTRIBUTION = """# Attribution

The pictures were resized to 64 x 64 pixels, laid on plain colours, some mirrored, turned a little, recoloured or set side by side.
Each image in `annotations/captions_train2017.json` names its set and licence.

- cartoon style: **Noto Emoji** 2.048, Copyright Google LLC, Apache License 2.0. https://github.com/googlefonts/noto-emoji
  (npm package emoji-datasource-google 16.0.0, packaging MIT, Copyright (c) 2013 Cal Henderson);
  its first edition, Copyright 2013 Google, Inc., Apache License 2.0 (npm package @iconify-json/noto-v1 1.2.5);
  **EmojiOne** 2.3, Copyright its authors (emojione.com), kept up as EmojiTwo, artwork licensed under CC-BY 4.0. https://github.com/EmojiTwo/emojitwo
  (npm package @iconify-json/emojione 1.2.3)
- flat style: **Twemoji** 16.0.1, Copyright Twitter, Inc and other contributors, graphics licensed under CC-BY 4.0.
  https://github.com/jdecked/twemoji (npm package emoji-datasource-twitter 16.0.0, packaging MIT, Copyright (c) 2013 Cal Henderson);
  **Fluent Emoji**, flat, Copyright (c) Microsoft Corporation, MIT License. https://github.com/microsoft/fluentui-emoji
  (npm package @iconify-json/fluent-emoji-flat 1.2.6)
- 3d style: **Fluent Emoji**, Copyright (c) Microsoft Corporation, MIT License. https://github.com/microsoft/fluentui-emoji
  (npm package @lobehub/fluent-emoji-3d 1.1.0, MIT, Copyright (c) 2023 LobeHub)

The captions were written for this data set with the help of:

- **CLDR** annotations 48.2.0, Copyright Unicode, Inc., Unicode License v3. https://cldr.unicode.org
- **emojilib** 4.0.3, Copyright (c) 2014 Mu-An Chiou, MIT License. https://github.com/muan/emojilib
"""
