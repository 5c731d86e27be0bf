"""Files that torch 2.13.0, joblib 1.6.0 and numpy 2.4.6 have written.

Compressed with zlib, in base64. A sample is, where nothing else is said,

  ((('7', p, (left, right)), 1), 5)  with p = [0, 0.5, 1, 1.5],
    left = [-1, 0, 1, 2], right = [0, 2, 4, 6]  as torch.tensor

by joblib.dump, named by what is different; zip_* and legacy_* are files of
torch.save with ids, of its present and of its legacy kind.
"""

import base64
import zlib

_GOLDENS = {
  'float32': (
    'eNrdkstKw0AUQCfNVKHVUty5cxk3xdjaxpVFpJvge5ONDDUZm0jMdCaTQgWhm9YH2Tnu/AD/'
    'wv6OnyCIePtw4Qvc6sCdgTuHO/cepofvXnU0XqlWU+mcZML1SySRQRirdIEIepwEoUckjWIm'
    'SGdV3SojnZ9gMRzNFlVpkYSs6ZETwc7IcVfSGKjNvIZQL3OTC1/uG89Lpw97i6VeZvtJh/2C'
    'I8MpwqNtwSRzWUg6VMQBi7gGgDMPN2EgZUgJjbygGfHMlZODpOy2KYmDcxpz/YJjw8lCMvaZ'
    'kDxrZ5zRJEEk+YyNHTyqwaIWn7VxksCbhjM7gictc+SOR8g1oHF5OEnmuOYUgFkvW+VyrWaa'
    'ZtUqr/JJXbedcN3GO5Ljfah2xNF3rNYsYfRhbYAEiOGG6qsDZSMb95Wt9dV1moe5Q+pKGBtU'
    '53eFRwX1tgJXgr3lAyWB93XDn/nzJlesilk1q78y+c5+MNl7nJ5gEtU/m/QL/8tWZc20Vqzf'
    '2ZqyX/9dHSRADH+2NVCXkBkoOztQpTfSmyKb'
  ),
  'float16': (
    'eNrdkstKxDAUQNM2ozA6Iu7cuaybwXnPgIiIiFB8b7qRUNtoK7GZpKmgIMxmxgfdGXd+gB/h'
    '37jyEwQX3nkgKgpu9UISuDncm3tIB989WWgQmdHQ2aTi0g+LJFURS3Q2QyQ9SCMWEEXjhEty'
    'Wta32s4KQyyBwzuiOpsmjHsBOZT8hBycKZoAtWIaCHXMmzx7vV97mTt+2J4tdsyNZwv2C4Fs'
    'dxqatiVX3OeMnFKZRDwWBgBuAW5YpBSjhMZB5MXCvHLzkFRnbUqS6JwmwroQ2HZzkExCLpXI'
    'OabbnySKlRhzsIv7NXh8JMYdnKbQ03bH+/DwyQL5gxHy6x473Bvm8sJwpwBpVZqVSqOxUG7V'
    'SrWyGJb126mwHLypBN6BYvsCfccaXhGj92iiRbSku3pXO8jBXe0YXX2dTcC4jPoKpgXDE1sy'
    'oJIGq5GvQNr8rlbAh5Ydjv15gfVadaFe/Z3AEftR4COsRbT8VWA49a8kVUvNVqP+O0kj9vMv'
    'W0araO1HST19CZmednI9XXwDDgodgQ=='
  ),
  'bfloat16': (
    'eNrdkj1Lw0AYxy/NtUJ9QdzcHONSrGmtnVqKdAm+L1nkqMlpIjHXu1wKFYQsrS9k89z8AH4L'
    '+3WcnAUHnxoRFYXOfeDu4H8/npc/T4LvX3T0EalWU+mcZMLxSiSWfhCpdIkIehz7gUskDSMm'
    'SG9d3Skjnc+wCJ7OKVXpIglYxyUngp2T476kEVCtgoZQkrstBm8P7deVs8e95VKS237W4b7k'
    'yLAXoWhXMMkcFpAeFZHPQq4BYM/DT+BLGVBCQ9fvhDx3bRdBlP0uJZF/QSOuX3Js2HkQI48J'
    'yfNWzh5P4oeSFyxs43EOFp7yGQvHMdQ07JkxnLXMkfMxQrHVhs5leeMw04tcsxcAq5ubplmr'
    'rVXLFbO6zrPUTjfmuoV3JMf7kPCIo79YrVPC6CsaSWPUUAN1oCxk4YGytIG6SWdh5IA6EiYG'
    'l2d3hUsFdbd8R4JxqwdKAu/phleYDhM36pXK2oQmZuw3E5MnOA3U/G2itzB1RpnVeq084bZ9'
    'sj+3rZk0R/8bNVRXoAyVlR+q0jsQpiR6'
  ),
  'float64': (
    'eNrdkrtOwzAUhp0mBSlcVDGBxMAYlqr0QsNUhBBLxH3Jgqw2MSTIxLXjIIGE1KXlomyYjQfg'
    'LXgVVjZGkBg4kDBQQGLGg3/5+NOx/ck942bBQB8j1ZoqHZdMeEEZJzKksUqnsCCdJKQ+liSK'
    'mcDHVXWtrHQiw2KI9gFRaQlT1vbxvmBHuHMiSQzUyqyGUK9wZdLX27WXucO7rZlyr7D+qMN8'
    'xpHlluDQrmCSeYziYyLikEVcA8CdgB0aSkkJJpEftiNeuHBNKMqTLsFxeEpirp9xw3KLUIwD'
    'JiQvOgVXh1UYST7iGO77qyiLDvioYyQJnGm5o+9wdmWOvI8nmKss6VCym1VNrrmTAC3V7Fqt'
    '2azUGwt2xeZZY6+bcN0xNiQ3tqHdHkc/sVq7nPscGg+tLJ/yfG6pvtpRDnKMvnK0vrpMx0AE'
    'JZ4ED+B+bFP4RBB/NfQk6JzfURL4QLeCkX+gtlG17cX639Tm7De1T/dfFX+qRcvDaoPJf6Zv'
    'sVGv/FVfzv76M9FyFqU8p3/XN1DnUBkopzhQ5Td95CSV'
  ),
  'strided': (
    'eNrtkb1LHEEYxmc/vIPTOw4r7Sw3zeF5CSaVH8gVWWLUNAshTNbdibthsnMzOysaELY5o2GL'
    'QCZgkcLSMmVK/xTb1KkCgeQ5F4JFaqt72d8s887DfDxP6X756ZLbqqzCVHNaqCjp0UKnPDfV'
    'PFVsv0h5TDXLcqHo4Yr5bLyqXcty/MIDZqou5SKM6Rsl3tH9Y81yqDZfWoSU9scW//11+Gvp'
    '7dXOYq+0n/1wMJ5I4gVdHDpSQotIcHrIVJ6KTFoQBG2s8FRrzijL4jTMpH0WtNDUxyNG8/Q9'
    'y6VzIl0vmEEzT4TScsa3AwezNNOy4bvB5FVcZAey6btFgTO9oDkR11eWJLp9QmuIi+sXdbMl'
    'raADzZPB48FgdbW//Ohhv78i632jUSEdf2FbS3cXu72S5H9aK+wtkLtVrmFYxwdKcAmuwQ0g'
    'G4R0wRJYButgB7wGI1CCM/AJXIBLcAW+ge8bZmz2jG/57tj4jbE5r2bhI2eRho2Ibva5ipli'
    '8VYaaaTxYM9o6BPHSxrTZO4jGftfMkln6v59uz/nO3Dfvuv+qflgnv5BnZrKOsK09xdQcFLl'
  ),
  'shared': (
    'eNrtkz1Lw0AYxy8vtpiqFDc3wSVdiraKddKKdImvdckiR01OE4m53uVSqFDI0vpCNs/NwdGP'
    '4Udx9SMIDj61VRR10E3wyP+OXH489+QXkuhXzgh6GakSy3RMUO54RRwLP4hkOok52Y/9wMWC'
    'hBHluFWSl9JMxwdYBEvjkMg0jwPacPEBp8d4vy1IBNTqjIJQol4YwdN17XH66HZ7qpioGw8a'
    'zB2GTDsPhzY5FdShAW4RHvk0ZAoA9jg8CXwhAoJJ6PqNkKlntgGbot0kOPJPSMS0DtNNu997'
    '5FEu2Iil2hrc+aFgGUu39X4NGh6yrKXHMZxp2tk+PGiZIeflFYwaNC52B5sGU+wJYJbKlXJ5'
    'cXF2vjRfqcyyQV2nGTPNMjYF03eg2h5DX7FKo2ig9yNZhmkFLkgCuYHcQe4hqIpQviq7si4t'
    'ZOldaSldeZ7mwEdAHAE64BPktrhLOHHXfEeA1UJdCuA9zfQy/4Z/Ylh9M+xN/Fv8rcXMZ4s9'
    'eTo0qf4Fk+uAfCOytLQwt1D6IFL5TuSQBZHKUOHrOvyhC4X3iqzRniw+A269eJU='
  ),
  'tensor_y': (
    'eNrdk81O20AQgHftTZASgqLeemtv7iVKyY+TE1GFuJh/Lr5Uq2BvsSvXm12vI4GElEtoQb6x'
    '3PoAvAW8Do+AVKlMiDkEGinXdKT1yutPszOfxiNy87GAniPDts5WFZdeUKOpCqNEZ++oZMdp'
    'GPlUsTjhkg7X9bW2ssoUS2DrnzCdVWnE+z79JvkPenyqWALUlzJGaGRclaI/v7ceP3y/3X9f'
    'Gxk7DyY8zwWy3CpcOpBccY9HdMhkEvJYYADcCnyJQqUiRlnsh/1YGL/cEhyq0wGjSXjGEmGe'
    'C2K5k9qTgEslCo7hmvAWxkoUHeKSSQ4en4gVh6Qp3Gm5KxN4WrJA3nMLpS0oXB1ND0sCu2vA'
    'dBudRsO2661Gu7veEdO83iAVpkN2lSAHkO2rQP9icb9G0ExsgARY9xt6rA+1gxwy1g4e68us'
    'DH1HzFPQNqgu70mfSeZvhp4Ce58OtQI+MK2guPwmbbvTtduLmczZGZOju3wHk6j32mSw9l/Z'
    '+ly3m4vaemHfzl0PJMC6n2/rQv/MjRnLYGwbkDnj1W41683ZHxXPG6+cBWE4N/U3jxdR+K0o'
    'p3Cha0+SG3cc'
  ),
  'int_user': (
    'eNrdkk1LwzAYgNuudbA5Gd4EDx7rZczVfZ02RLwUvy+9SNjaaCuxWdJUUBjssvlBb8abP8B/'
    'oT9E8OxPEDz4at3BL9hVA0nIm4e87/uQgX6t6sr7uDSq8w+PWjItKHf9EopFQCKZzCKOu3FA'
    'PCRwGFGOjivySppJIcUi2DoHWCZFRGjHQ/ucHqHuicARUCt5VVEG2mWOvNysPS8c3m7NlQba'
    '+lMG1j5TTKcIeXucCupSgo4xjwIaMhUApwA3JBCCYIRDL+iETDt3chAUJz2MouAURyzTZ7rp'
    'GBCMfMoFM2zNycApCAWbsnXnrTFCwwOWtfU4hpymk32D05KZ4r63kFuDwsVuGswx1ZkBpmk1'
    'LKteL1vVZq1cZum7bi9mGVvfEEzfhtf2mPITq3ZKH0bHowUSYN635FDuSFux9aG01aG8SPLQ'
    'N8GugLZBdX6Te5hjbzVwBdhb3JECeF8zfePPm1xaqi9btcZEJsfsJ5ODu48dTCrtryb9wj+z'
    'VW1WassT2krZ7/+uDRJg3v9uayTPIDKStjGSpVf90CLs'
  ),
  'uuid': (
    'eNrdkktLKzEUgGc60UKrXnHnQnA5bkrteG87K0VEkME3wmwktDPRySVOmscICoW6qC9mZ9z5'
    'A/wX+nf8CYILT61deB/gVgPJIScfyTkf6aLbGWS9jX3j5nbd5GOayyip4ExTpkw+hSVpZZTF'
    'WJNUcYmPa+YG0PEBpiA0D4nJJzHjzRgfSH6EWyeaKKCWy7ZldQvXJfZyt/o8+/t+a7rSLaw/'
    'ObB2hOWGk/BuW3LNI87wMZGK8lTYAITjcMKo1oxgksa0mYrCZViCpD5pE6zoKVHC6QjkhiOQ'
    'VAmXWowEhdCBHU21GA1Q2G+M8fRQFAOUZfCmGxb78KBkYUVvLZRWoXC9O0iWhB1OAON7Dc+r'
    '16t+zferC2Jwb9TOhBOgDS3QNty2L6x/sXaz8m50OBZBAszHRdMzOyawAtQzgd0zV3kZ+mYk'
    '0tA2qC5vyphIEq/QSIO9uR2jgU+QmxS/vMn5ec9baDQ+ZXLIfjDZfXiPYNJa+tNk8uNb2ar+'
    '9H75tc/ZGrJ//7slkADz8f+2zs0FZM5NDnXSGMLe3tpK/+udmY7JHWjIBOuqRSqvibIuhA=='
  ),
  'numpy': (
    'eNqVUctKw0AUTewrFh8VpS78geoiC3HhQjBSdeFAFoK4DDNp9EYnD/JAshDqwrbCgAtvP83/'
    '8A/q5FGKulAvw507wzn3nDszrE/flTKEmqLYvAsYd5nup16YWaFr33MHxYaZH0+iiGbXEQ1D'
    'J8I33H3CR+wJLU6ZzWkco2gULBQtf0BzrASJRgw0dJDUn2UdRANJFWpf1oMkk/fQmlcSu3Rz'
    'gC+TMV5ij9SEeoSmaV7MZBSJKAky0aacBw+W59EQJ2Kn9FmoWZS7t77n+InFssSJkXRStj77'
    'GuWow2OZDLmM6Vk1PdTKeaAJy9DO7cIKrMIadKStw4Ut2PppCroT2M7V1Kr/PD6Oq8IoN+2P'
    'evv/0TOUU+V8+lr1HeEYRbd4Ft2yg8jRvZQnbvkfohnblNP893Id95e5+ppadcWRRI0Q9nLa'
    '1Xd7RCN1ohUEKsFsQdA/AdXY35g='
  ),
  'protocol_2': (
    'eNrdkstu00AUhn1LAgMt5U5bLoVyMZuocZqGrpoF6sbiZjazQaPUntZGxpPfnlQqUqVsEijP'
    'wAPAIyAhITkvxoycSCBYdN1ZzJw588+5fDoji5qGYXRhhFLkYdxkQ5mkBWE53xsmacQkzwqR'
    's0OPwHRnmkId/QNOWCr6EdvPxQe2dyR5QWCFLBQRDwvCM20Q2HRFJShHVvmFpNOf5dfd6Y+1'
    '9+W318tN5Xwx/W7r8xiGS5dUIYNcSBGKlB3yvEhEBlNL6IJ6ShMpU854FiX9DFb5mRLllUcD'
    'zorkIy9gH8NxaU05i1jkEjXfora6JZlE3Xeoo4OI7AAN3xkOdVqXNrS6ameOgOyqtuTbWY8w'
    '6aLSbLeftdvdbsvb6Gx2PVSBw8EQtu+8lHDe6HDvYPxPbPabOvUfa0cTUdt0tAOH1nVdfZlk'
    'LdQmqAdojHEuwHnf8J0xiG+OceEkVFBSHkrFpCCv8ojnPHqehJLg4tMACxKLAS7FphtbsU1X'
    'zxLyVmfb29o8JfKZ+C/k5aj8NbcUdKOHpViBvhzgyhhXA1yrQF/XoG+cxJrnTYlbAZbnPM/W'
    'CHud7tbGaUe4Ev87wj1NpKdHuIcVjXM1wO0x7gS4W+G8p3GuVTjvSzwIsD7Bw0945JsTPPbV'
    'jyfN32H/R/g='
  ),
  'zlib': (
    'eNoBlwFo/nhe3ZLLSsNAFECTJm2hVSnu3LmMm9KXpl21iHQTfNVNNjLUZDSRmOlMJoJCIZvW'
    'B9k57vwA/8L+jp8giHjTKPiEbnXgzsCdw71zDxOpty+KNF2xrIt4jhNmOWUUctcLRLyIGD4I'
    'Xc9GHPsBYei0Jm6EFs+nWABH/wiLuIQ80rfRISMn6OCM4wCo9aIsSVHmuuA933Wflo/vd5bK'
    'UWbzUYF9SCXNLEHTASOcWMRDp5gFLvGpDIA5Dzeey7mHEfZtt+/TzKVZgCQ/G2AUuOc4oMqQ'
    'qpqZhWTgEMZp1siYySSuz2nOUE01qUH8I5o31DCEnpqZT+D0yVSypiMUuvBwvpcmC1Q2F4Bp'
    '1Zv1uq5Xq6ut2lqDpnWtQUgVQ93iVN2FavtU+omV++Wk8YfVBgkQk7YYiZ4wJEMdCUMeiau4'
    'CHN72OIwNqgubjMbM2xvuBYHeys9wYF3FM3J/XmTFV1vVVbXZjL5zn4yGT2kRhOTUuerSWfh'
    'f9lqVJstfUZbb+z3f9cBWxCT322NxQX8xLEwsmNRfgUTkiLJvoLIbw=='
  ),
  'gzip': (
    'eNoBowFc/h+LCAAAAAAAAAPdks1Kw0AQgJMmrdDaIt68eYyXEtvU1FOLiJfg/yUXWdpkNZGY'
    '7W42hQpCL60/5OZ68wF8C/s6PoIg4qRR8Be86sLswuzHzM7HDtWbZ0WarkQ2RTLLCXO8Koq5'
    'H0QimUcMd2M/cBHHYUQY6tfEtdCScoZFcHSOsEjmUEA6Ljpk5AR1BxxHQK2VZEka5q6KwdPt'
    'xuPi8d3OQnWY23xQYD+jkmbPQdMeI5w4JEB9zCKfhFQGwC7DTeBzHmCEQ9fvhDR3YRchyQc9'
    'jCL/FEdUOaOqZuchGXmEcZq3cnY6iR9yWrBUW01rkPCIzlhqHENPzZ5J4ezJVHKmIxQ34OF8'
    'P0sWqWxXgFmtN+t109QN3Ww0DZrVdXoxVSx1i1N1F6odUOk7Vu5U08bvVgskQExaYiT2hCVZ'
    '6khY8khcJiWYO8AOh7FBdWmbuZhhd913ONhb2hMceE/RvMLfN9lYWTUM/XcmX9kPJof3mdHU'
    'pNT+bNKr/CtbyzW9YZi1X9l6Y7/+uzbYgpj8bGsszuEnjoWVH4vqC8USaJsJBAAA+PbHkQ=='
  ),
  'bz2': (
    'eNoBDwLw/UJaaDMxQVkmU1kVH5OtAAHH//3/n1AgQGF/4NUL+EK/9/8yQ/QOBABAAADAAAAg'
    'ACVAAdwAA5hNGRoaGQwjQyGmjQAYjJkAwgGA5hNGRoaGQwjQyGmjQAYjJkAwgGA5hNGRoaGQ'
    'wjQyGmjQAYjJkAwgGAbUQkaMqfqn6mjaU0xNGQMnoZT1MjQANGTym0Jsk7IyICpR4oo7xIqL'
    'hQUk6QldJ9tmgL5DB5RxxhkgrP7ASil+0OOOiUBx+7iRyrQTDDG0RHLYwwlbgQLcbSgRGGIq'
    'BnOU3ygmGZEkw6xGksNguGuuxbC9xdXObhxlotcKwrEnSdOujGjiRBGJcKMaZW0lFSRusjEr'
    'iipleRcWNbfnbS7yhwKv5zGggGE1iYwk5LZLxtG/pHJC4xsxaRE5Ef4pLt1mZokxz75eye2B'
    'DFm6C4ZYB0DlrmiKBfqJMTPhntZT+EDMRdrpZIq9RnIxlcC4a6sWU7UyzlBzZKNUkPWOcxYX'
    '5EpiPf/RAm9BLAMi8O8S2lOVJWQIpUySOQkdRQWzrOkoMBUcmTG7PEvlROVCWwXhGaynq8Y5'
    'I1DVJimRE3YYI+Amsrs75QZy8lEzZekrKjZNQ3S3SdWsV8QyVZGc4DhMCRQNB17JykwkGdSG'
    'GSb0tvMLQu1uw7TRFysiLrXY8pGz+dx/rO+p3Gk+99aUZDeO7/i7kinChICo/J1om63p/w=='
  ),
  'zip_list': (
    'eNoL8GZmYWDg4GDAAAIMQgyJRckZmWWp+imJJYl6Bdk5bk58DFEooIEptpBBw5vZm9GbJVUv'
    'wJud44N6KgsfUD8IB+A0XZxBF266Xlp+UW5iSXxZalFxZn6em5MmmiV4gCHIyu3v7zQzAg1l'
    'xGulFIM5wsrikvyixPTU+MSczPS83NS8EjcnY+JtRQAzE5AD7MsLXzIBrWDC6wBBBnu4A5Iq'
    'S1Lzi1JSi9ycrMmxFwZyMktKclJBbmi1fSzJBrSFDa8b+Bls4W6Ah7cl+S4w5gLZfXFeeihh'
    '/8sxGCEiAJSk9ItTizKBMVCVWAJ0R3xmipuTHolOMTCyNLAwMbMwMzc3NzOyNDI2NDAxMDAw'
    'sQDSpsaGhhYGZqaWxpamIFem1V9+oAF0hwbYlYwgx8LdiZxqBTBcjp4P0HUjJ0BxFJ1xSLrR'
    '0jm6IciJSArFkIvIhmCkXHRzkBOCIIo5QYwMmAkQXTtyXPKjaL+GpB2HH5CDWA7VbiYGApEf'
    '4M3GpgNLKsy6cJ1saPRkRgj9gwlCA/Wxg+huFggfUgqwskH0sIHVQ9QCANJNCAE='
  ),
  'zip_i32': (
    'eNqlVD1v00AYPtuJHYyUpiwVHbqARJAgcfyRNCCoZCFLyANpECiwWK59BAs37tmXIBgQEsrA'
    'zsTA32DgBzAimBgYkGBhQKxscGe3rn2lKYVXik5J3ufjPT+vB7ZQAaBWAweqAU4BN/buBzPY'
    '9l3stnYehJZZB3dL9ZT3cES6Ws4UB2EiOzHcmgah72A4SaLYmakyAs3mSCKMCel0xxBxGUS+'
    'PsE3s59kxI840qEgYSSQ09uZoopdwai6aXO2MEeizc2R9NzzojCEHg6iSSLfiH0YQ/9a4GEZ'
    '1c4P0QmM5CE62RrYUu3Ok5f2C8JEP4NDZ1wB5/IZW/eieNvFzgzGCeG3zDPMqH+sDhV7/ePT'
    'M2qfWyi2Cnr7Yrt34bhhMJ5swwm2TO1v9Njq6tTAxkP0jScS/EIDy2AjN7D1CMOIXqBlXv4X'
    '3b0KA4xDSD3Mr3w5LRIVcaGHOrhaSlVbscxL/2GAcgq7V19JlaVaWP/+sZEmeJGTJaDlTvJn'
    '3j6uFU2miu9fjW8dff9rQN0PQDp8AuOAJOCxSxPtBL5lto5poGP01PVOv290OuuG3tU1Re0q'
    'utrtGbrWV3XNUDRVNTSNulTe/DrbJD6aqUuOms19FvelccA5+x5g0cUFWCkhvxbQzIaxJMUQ'
    'r5ZINjmwYHNYnmIQl0s8Hwo8+QKw8GJ66iX4bR4w2WWxxRwslbCfC9hD5i8+nrUSeCiAI4Iz'
    'sEXxwl7MhIs5UmLOd1x2/hSyk+DSv95Ws+/ZG6wqZhgp7c96fwOVmVY9'
  ),
  'zip_np': (
    'eNqdVE2P0kAYnlIoWJUvV9E97JmDdsuHFKKbTThwsAkhTUwIiSGzZYTG0jLD7Bo8mRhRj8TE'
    'o3/Akyf9G3v35sF40n+gMxS6bQm7um/STj+e93mfvu/T6ehiHIBUCmxEFuQBJObIOkH7A0ih'
    'Mnlmt5pp0AvFy9gTDIqmczyezJS+6RKkjI9takFC4EyemtCGRMaCB5AHdDZBMo51Y6yAVcfi'
    'u7dvcNzAiaIudgX27CGW2u32oz8slicdUJw8MhnxAJlTGTn8QsapLhcsrpTiK12JLTakllPC'
    '8hxfNfC1Ob5u4PRIGCVGHlpYozMjBskaODfHeQPfCEDia8gOh9w08K05Lhj4NlI6ejL1+zS9'
    '+MHe8qOztW0FsOO3TXnqkjGk/RNEppbrtJrZSPd6vRJn/vLr2ythJXE78y7Qzpin1CVwiPrQ'
    'tobOGDm01axskP9D1KpcwOFz/JOPJHaugBw49AUczShyyQCRVvPBZequw7YotRHX8Prg+x0+'
    'RulcDRlw4Gvw29q4vIKKzGuffhw+vvj790D5bAD8l9ifImKxCbxgznOdvjVoNZX/lKKWG2q9'
    'WqvXNE2rlRvlSkmtqqpa1+7XqiW1XG80quykLm2if/q8KDIdxaVKgYv1dQbNmd1QHv2Po9lB'
    'AxZCmZoAttk5ShI00W6IZBEk2XBulCdohFyIJx8DmwaMpgdnmQmlfwikb/mGYIv3wrVFcMHw'
    'O7ok3V1bRbznZ0qR9f1qJ/q62r9YXnJZO+Hde7tAQvJypCXew/4FPyY9pQ=='
  ),
  'zip_set': (
    'eNoL8GZmYWDg4GDAAAIMQgyJRckZmWWp+imJJYl6Bdk5bk58DFEooIEpOT4+qTQzpyQzLz6e'
    'qzi1hKuQIbaQUcOb0ZsptbWQKaiQWS/Am50jNU/ZUxVoLAgH4LRUnEEMbqleWn5RbmJJfFlq'
    'UXFmfp6bkxCa3SBgCDJ7+/s7zYxA3Yx4zZZiMEeYXVySX5SYnhqfmJOZnpebmlfi5mSMxXiC'
    'wMwE5AD78sKXTEArmPA6QJDBHu6ApMqS1PyilNQiNydrcuyFgZzMkpKcVJAbWm0fS7IBbWHD'
    '6wZ+Blu4G+ABa0m+C4y5QHZfnJceStj/cgxGiAgAJSn94tSiTGAMVCWWAN0Rn5ni5qRHolMM'
    'jCwNLEzMLMzMzc3NjCyNjA0NTAwMDMwNLMxNLIwtLQ1NjAyNDQ0tQK4M/MO6SwPoDg2wKxlB'
    'joW7Ezl5CmC4HD0foOtGToDiKDpLkXSjJWh0Q5ATkRSKIReRDcFIuejmICcEQRRzghgZMBMg'
    'unbkuORH0X4NSTsOPyAHsRyq3UwMBCI/wJuNTQeWVJh14TrZ0OjJjBD6BxOEBupjB9HdLBA+'
    'pBRgZYPoYQOrh6gFAJsPBrA='
  ),
  'legacy_str': (
    'eNprYOriyvkzx+2nQtaKAEm9Bibfl8xAsraQQSNCgIGBoaAovyQ/OT8nviy1qDgzP6+QEagg'
    'ghcok5NZUpKTGp+al5KZmFfI1BHBBRQsqSxIjS/OrEotLmSuLWTRiGAFChZn5BeVFLJ6M0Uw'
    'A3mZeSWFbN4sESwgM/Lz0gvZvVlKS4F2xoLsZASKGhcygmnDQiYwbVLInAqR1wMAoS0vtQ=='
  ),
  'legacy_i32': (
    'eNptT8tKAzEUnVcdjShu3bmsm8G2YO1eBBnqo26ykTBmQhsJSW9yp6BQ6KagfoMf4K/5CYIL'
    '71jcGbiBnHtyHqvkjZnv94uvo8ePm8NilYw/U7qXEHX5QRRFc+/QSWfEQvmgnYWYCHyPNkYj'
    'GiWUrXVlIXnhjEB8misR9LMKkC4h6/IOgWHmPEKnTHhKL20RtsqMZ62Gs1PIy6xpyFOi83JW'
    'iAa1CUx49dBoUwtUNjgvFn1Gmbo8bwWJWU0VxJsv7NLi3QZikPB9YowGZ4PBcNjrn5z2Rn1I'
    'f53lvIGszK4oy20Zl+macsRryF8lFTRKIvUL7NrXyqv6XEtksH08gR0ENoFdSngP0X/qcVW0'
    'Zf5OaxXTtNgPHNlfRg=='
  ),
  'legacy_tensors': (
    'eNptUDtPwzAQzqsUDC3lsbAxpktFkqppd8QSnmHxgqKSWI1RFPccpxJIlToCv4EfwF/jJyAx'
    'cCWthKp48OnO9728MN5J9vNx8X369Hl70lsYV18m3nPQbNrRNG0qhRKxyKIZkwUXOei4QFv4'
    'knGlMhaxPOHjHIxXSnConqcsKvgLK8Ccg2XTBg6LVEgFjcCgJnY8V7AVWNRacoh8As3AKkvU'
    'fEDNWAkZp72oVDwrSCTZY8mzJFIsL4SMZi4B3bZpc0mKm+MJA6OCkEukuq9mBEzaxpWRN/Q8'
    '33fcs4EzcsH6k4+nJVrRr9HEXaB1u28xpstYrDBcQW5kwiRLznmsCDS7IWwr2AmBpCibGukG'
    'r+s7wz7sphXfXsWXLmEtBe0Q9mthjt/3BkPorGAH/2CHCo5COGar36iD6XXRjDpfJuvpWnWs'
    'VV335ka/rr9sgX5g'
  ),
  'legacy_two_np': (
    'eNo1UMlOwzAQzdqCobTsLYvEMadI3Dhw5oBFhXLyBUVZLBKU2h3HQQpSpV5KW76BD+DX+AQk'
    'JLDbdA4z9ryZ9549tT5Q8ft593P18vU48KfWw7et8gQMj/QMwxgLLnnCi/CVijLnDEw1QDoK'
    'KXIpCxpSluYRA2tBkGrKekzDMn+jJdgTcDziqmaZcSHBxRax1S1nElrYIY7m4OwZ2tipKqX5'
    'pDQTVo3GtR8mXFB/VBUyj4SIahQKmnBWSlElEoG5HkMsXaNgYWMGdqLWUpqUiDJ9QOAQU4nE'
    '4JKWFotkzq6h9Q7tALbmsB0A8rCJ7RnsNISp9o9gl1ja6A10los57AXQ9bC94rqF3nA4vP9T'
    'sUrYkLAfLzOH9BWqn6fDbKrTVDjIlOphAEcSjuPMzFZ+TzJl4jSAfmNikHU3RJtFq6nuhuhM'
    'E50HcCHhMqbrT/P/AaS7e04='
  ),
}


def golden(name: str) -> bytes:
  return zlib.decompress(base64.b64decode(_GOLDENS[name]))
