"""What comes in and what goes out. Prices are in cents."""

from enum import StrEnum

from pydantic import BaseModel, Field


class Status(StrEnum):
    RECEIVED = "received"
    PAID = "paid"
    PACKED = "packed"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in {Status.SHIPPED, Status.CANCELLED}


class Item(BaseModel):
    sku: str = Field(pattern=r"^[A-Z]{2,5}-\d{2,6}$", examples=["TEA-100"])
    quantity: int = Field(ge=1, le=100)
    price: int = Field(gt=0)


class Payment(BaseModel):
    card_number: str = Field(min_length=12, max_length=19)
    cvc: str = Field(min_length=3, max_length=4)


class NewOrder(BaseModel):
    customer: str = Field(min_length=1, max_length=80)
    country: str = Field(pattern=r"^[A-Z]{2}$", examples=["GB"])
    items: list[Item] = Field(min_length=1)
    payment: Payment


class Order(BaseModel):
    """An order as everyone may see it; how it was paid is not kept."""

    id: int
    customer: str
    country: str
    items: list[Item]
    total: int
    status: Status


class PlacedOrder(Order):
    """The answer to whoever placed the order: the token lets them follow it without an account."""

    tracking_token: str


class ShippingQuote(BaseModel):
    country: str
    weight_grams: int
    price: int
