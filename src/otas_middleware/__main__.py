"""The entry point of `otas-middleware` and of `python -m otas_middleware`."""

from otas_middleware._cli.main import main

if __name__ == "__main__":
    main()
