The `rate` hook limits how often clients and visitors connect.
