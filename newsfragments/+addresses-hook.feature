The `addresses` hook allows and denies clients and visitors by networks.
